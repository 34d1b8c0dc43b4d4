//! Mounts a file that holds a file system: directly where the kernel can, else by a loop device that goes with the mount.
//!
//! For sandboxes whose agent is root of the machine, not only of a user namespace.
#![expect(unsafe_code, reason = "ioctls of loop devices")]
// UNSAFETY: ioctls (loop(4)) on numbers and on a struct that outlives the call.

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    path::Path,
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    libc,
    mount::{MsFlags, mount},
    sys::stat::{Mode, SFlag, makedev, mknod},
};

/// `LOOP_CTL_GET_FREE` and `LOOP_CONFIGURE` of `linux/loop.h`.
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
/// `LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR`: the kernel frees the device when nothing is mounted from it.
const FLAGS: u32 = 1 | 4;
/// `/dev/loop-control` and `/dev/loopN`, by number.
const LOOP_CONTROL: (u64, u64) = (10, 237);
const LOOP_MAJOR: u64 = 7;
/// The directory of the device nodes, which a sandbox's own /dev does not have.
const NODES: &str = "/loop";
/// How often a free device is looked for: another process may take it first.
const TRIES: u32 = 64;

/// `struct loop_config`: the file, the size of a block, `struct loop_info64`, and what is reserved.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: [u64; 29],
    reserved: [u64; 8],
}

/// Where in `loop_info64` the flags lie: the fourth of four 32-bit words after five of 64 bits.
const FLAGS_WORD: usize = 6;

/// Mounts `image` on `target`, read-only.
pub(crate) fn attach(image: &str, target: &str, fstype: &str, options: &str) -> Result<()> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
    let what = || format!("mount {fstype} of {image} on {target}");
    match mount(Some(image), target, Some(fstype), flags, Some(options)) {
        // From 6.12 on erofs takes files.
        Ok(()) => return Ok(()),
        Err(Errno::ENOTBLK) => {}
        Err(errno) => return Err(errno).with_context(what),
    }
    fs::create_dir_all(NODES).with_context(|| format!("make {NODES}"))?;
    mount(Some("tmpfs"), NODES, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=0700"))
        .with_context(|| format!("mount tmpfs on {NODES}"))?;
    let (path, _device) = free_loop(image)?;
    mount(Some(path.as_str()), target, Some(fstype), flags, Some(options)).with_context(what)
}

/// A loop device that shows `image`. It lives for as long as it is open or mounted.
fn free_loop(image: &str) -> Result<(String, File)> {
    let control = node("loop-control", LOOP_CONTROL)?;
    let control = File::open(&control).with_context(|| format!("open {control}"))?;
    let file = File::open(Path::new(image)).with_context(|| format!("open {image}"))?;
    for _ in 0..TRIES {
        // SAFETY: no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
        let number = Errno::result(number).context("ask for a loop device")?;
        let path = node(&format!("loop{number}"), (LOOP_MAJOR, u64::from(number.unsigned_abs())))?;
        let device = File::open(&path).with_context(|| format!("open {path}"))?;
        let fd = file.as_raw_fd().unsigned_abs();
        let mut config = LoopConfig { fd, block_size: 0, info: [0; 29], reserved: [0; 8] };
        config.info[FLAGS_WORD] = u64::from(FLAGS) << 32;
        // SAFETY: the struct is as large as the kernel's, and outlives the call.
        match Errno::result(unsafe {
            libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config)
        }) {
            Ok(_) => return Ok((path, device)),
            Err(Errno::EBUSY) => {}
            Err(errno) => return Err(errno).with_context(|| format!("show {image} as {path}")),
        }
    }
    bail!("no loop device is free")
}

fn node(name: &str, (major, minor): (u64, u64)) -> Result<String> {
    let path = format!("{NODES}/{name}");
    let kind = if name == "loop-control" { SFlag::S_IFCHR } else { SFlag::S_IFBLK };
    match mknod(path.as_str(), kind, Mode::from_bits_truncate(0o600), makedev(major, minor)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(path),
        Err(errno) => Err(errno).with_context(|| format!("make the device {path}")),
    }
}

const _: () = assert!(size_of::<LoopConfig>() == 304, "as the kernel's struct loop_config");
