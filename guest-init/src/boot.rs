//! The start in a microVM: from the kernel's call of `/init` to a channel.
//!
//! Before it: the kernel, with nothing but an initramfs (whose `/dev/null` std's runtime needs). After it:
//! [`session`](crate::session). It mounts and loads only what the channel needs; `Prepare` does the rest.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kiln_protocol::{BOOT_FILE, BootFile, PORT_NAME};
use nix::{
    errno::Errno,
    mount::MsFlags,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    },
};

use crate::{late_devices, log, modules, port::Port};

/// Where the kernel lists virtio-serial ports.
const PORTS: &str = "/sys/class/virtio-ports";

/// The multicast group of the kernel's own events (`uevent`); udev's is 2.
const KERNEL_EVENTS: u32 = 1;

/// File systems that are needed to find the port: type and target.
const EARLY_MOUNTS: [(&str, &str); 3] = [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")];

/// Mounts file systems, loads modules, and opens the port.
pub(crate) fn open() -> Result<Port> {
    for (fstype, target) in EARLY_MOUNTS {
        fs::create_dir_all(target).with_context(|| format!("make {target}"))?;
        let mounted = nix::mount::mount(Some(fstype), target, Some(fstype), MsFlags::empty(), None::<&str>);
        match mounted {
            // EBUSY: the kernel mounted devtmpfs by itself (CONFIG_DEVTMPFS_MOUNT).
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(errno) => return Err(errno).with_context(|| format!("mount {fstype} on {target}")),
        }
    }
    log::to_kernel(File::options().write(true).open("/dev/kmsg").context("open /dev/kmsg")?);
    let bytes = fs::read(BOOT_FILE).with_context(|| format!("read {BOOT_FILE}"))?;
    let boot: BootFile = postcard::from_bytes(&bytes).with_context(|| format!("decode {BOOT_FILE}"))?;
    // Events are listened to before modules are loaded, so that none is missed.
    let events = listen()?;
    modules::load(&boot.modules)?;
    let path = wait_for_port(&events)?;
    let port = File::options().read(true).write(true).open(&path);
    let port = port.with_context(|| format!("open {}", path.display()))?;
    let output = port.try_clone().context("copy the port's descriptor")?;
    Port::greet(port.into(), output.into(), &late_devices::Places::find()?)
}

fn listen() -> Result<OwnedFd> {
    let kind = SockProtocol::NetlinkKObjectUEvent;
    let events = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, kind)
        .context("make a socket for the kernel's events")?;
    bind(events.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_EVENTS)).context("listen to the kernel's events")?;
    Ok(events)
}

/// Waits until the kernel has a port of our name; the host limits how long.
fn wait_for_port(events: &OwnedFd) -> Result<PathBuf> {
    let mut event = [0; 4096];
    loop {
        if let Some(path) = port()? {
            return Ok(path);
        }
        match recv(events.as_raw_fd(), &mut event, MsgFlags::empty()) {
            // ENOBUFS: events were lost, so look again.
            Ok(_) | Err(Errno::EINTR | Errno::ENOBUFS) => {}
            Err(errno) => return Err(errno).context("wait for the port"),
        }
    }
}

/// The device of the port of our name, if it is there.
fn port() -> Result<Option<PathBuf>> {
    let entries = match fs::read_dir(PORTS) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(format!("list {PORTS}")),
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("list {PORTS}"))?;
        // A port without a name has no such file. The kernel sends an event when the port gets its name.
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim_end() == PORT_NAME {
            return Ok(Some(Path::new("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}
