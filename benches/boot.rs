//! The cold start: a build of one step `true`, against a bare boot of the same kernel in the same machine, and against
//! virtme-ng's `-- true` with that kernel. Whole commands, side by side; a sample that fails ends it.
//!
//! `cargo bench --bench boot -- --runs 5`. virtme-ng is installed from PyPI into the target directory; it needs busybox-static,
//! udev (without it the guest finds no port for its exit status, and vng always ends with 255), and the kernel's modules in
//! /lib/modules (a link to those of the store will do). `--no-vng` leaves it out.

#[path = "measure/command.rs"]
mod command;
mod measure;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use command::sample;
use kiln::{
    env::Env,
    home::Home,
    host::tsc,
    image::{Kernel, cpio::Archive},
};
use measure::{Series, report, runs, target};

/// The memory and processors of each machine.
const MEMORY_MIB: u32 = 1024;
const CPUS: u32 = 2;

/// An init that does nothing but write "up" and reboot, as an ELF file (x86-64): `write(1, "up\n", 3)`, then
/// `reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART)` (linux/reboot.h).
fn init() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code: &[u8] = &[
        0xb8, 1, 0, 0, 0, // mov eax, SYS_write
        0xbf, 1, 0, 0, 0, // mov edi, 1
        0x48, 0x8d, 0x35, 0x22, 0, 0, 0, // lea rsi, [rip + 0x22]: the text behind the code
        0xba, 3, 0, 0, 0, // mov edx, 3
        0x0f, 0x05, // syscall
        0xb8, 169, 0, 0, 0, // mov eax, SYS_reboot
        0xbf, 0xad, 0xde, 0xe1, 0xfe, // mov edi, 0xfee1dead
        0xbe, 0x69, 0x19, 0x12, 0x28, // mov esi, 672274793
        0xba, 0x67, 0x45, 0x23, 0x01, // mov edx, 0x1234567
        0x0f, 0x05, // syscall
        0xeb, 0xfe, // jmp .
        b'u', b'p', b'\n',
    ];
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    for (value, bytes) in [
        (2, 2),
        (62, 2),
        (1, 4),
        (BASE + HEADERS, 8),
        (64, 8),
        (0, 8),
        (0, 4),
        (64, 2),
        (56, 2),
        (1, 2),
        (0, 2),
        (0, 2),
        (0, 2), // header
        (1, 4),
        (5, 4),
        (0, 8),
        (BASE, 8),
        (BASE, 8),
        (size, 8),
        (size, 8),
        (0x1000, 8), // one segment: read, execute
    ] {
        elf.extend_from_slice(&u64::to_le_bytes(value)[..bytes]);
    }
    elf.extend_from_slice(code);
    elf
}

/// Told the frequency, as kiln's guests are, a kernel does not measure it; on a busy host it may measure for ever.
fn clock() -> String {
    tsc::measure_khz().map_or(String::new(), |khz| format!(" tsc_early_khz={khz}"))
}

fn bare(vmlinux: &Path, initramfs: &Path) -> Command {
    // A kernel that never comes up is a sample that failed.
    let mut qemu = Command::new("timeout");
    qemu.args(["60", "qemu-system-x86_64"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-machine", "microvm,pit=on,pic=on,rtc=on,isa-serial=off,x-option-roms=off"])
        .args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"])
        .args(["-m", &format!("{MEMORY_MIB}M"), "-smp", &CPUS.to_string()])
        .arg("-kernel")
        .arg(vmlinux)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", &format!("reboot=t panic=-1 quiet{}", clock())]);
    qemu
}

fn build(directory: &Path) -> Command {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    // As a user has it: with network, source and cache.
    kiln.current_dir(directory)
        .args(["build", "--accel", "tcg", "--progress", "quiet"])
        .args(["--memory", &format!("{MEMORY_MIB}Mi"), "--cpu", &CPUS.to_string()])
        .arg("true.yaml");
    kiln
}

/// virtme-ng in a virtual environment below the target directory.
fn vng(kernel: &Path) -> Command {
    let place = target().join("virtme-ng");
    if !place.join("bin/vng").exists() {
        sample(Command::new("python3").args(["-m", "venv"]).arg(&place));
        sample(Command::new(place.join("bin/pip")).args(["install", "--quiet", "virtme-ng"]));
    }
    // It starts its other half by name, and wants a terminal.
    let path = env::var("PATH").expect("there is a PATH");
    let line = format!(
        "vng --disable-kvm --memory {MEMORY_MIB}M --cpus {CPUS} --run '{}' -- true",
        kernel.display()
    );
    let mut vng = Command::new("script");
    vng.env("PATH", format!("{}:{path}", place.join("bin").display())).args(["-qec", &line, "/dev/null"]);
    vng
}

/// The bzImage beside the store's vmlinux: what virtme-ng takes.
fn bzimage(home: &Home) -> PathBuf {
    let kernels = home.root().join("kernels");
    let mut found: Vec<PathBuf> = fs::read_dir(&kernels)
        .expect("images/setup.sh has put a kernel into the store")
        .map(|entry| entry.expect("the store can be listed").path().join("vmlinuz"))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().expect("images/setup.sh has put a kernel into the store")
}

fn main() {
    let env = Env::of_process();
    let home = Home::find(&env).expect("kiln has a home");
    let kernel = Kernel::find(&home, &env).expect("there is a kernel");
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut archive = Archive::default();
    archive.directory("/dev");
    archive.character_device("/dev/console", 5, 1);
    archive.file("/init", 0o755, &init());
    let initramfs = directory.path().join("bare.cpio");
    fs::write(&initramfs, archive.finish()).expect("the initramfs can be written");
    let file = "package:\n  name: nothing\n  version: \"1\"\n  epoch: 0\npipeline:\n  - runs: \"true\"\n";
    fs::write(directory.path().join("true.yaml"), file).expect("the build file can be written");
    let with_vng = !env::args().any(|word| word == "--no-vng");

    let mut series = vec![Series::new("bare boot"), Series::new("kiln build")];
    if with_vng {
        series.push(Series::new("virtme-ng -- true"));
    }
    // The first round warms the page cache, makes the image, and is not counted.
    for round in 0..=runs(5) {
        let mut took =
            vec![sample(&mut bare(&kernel.vmlinux, &initramfs)), sample(&mut build(directory.path()))];
        if with_vng {
            took.push(sample(&mut vng(&bzimage(&home))));
        }
        if round > 0 {
            series.iter_mut().zip(took).for_each(|(one, seconds)| one.seconds.push(seconds));
        }
    }
    report("boot", &series);
}
