//! QEMU's command line: data, built by pure code, one switch at a time, named as QEMU names it.
//!
//! Paths in options go through [`escape`], which doubles commas, because QEMU's option parser splits at them. Descriptors have
//! fixed numbers ([`fd`]), so that the line is the same in `kiln plan` and in a build.

use std::{ffi::OsString, path::Path};

use super::{
    device::{Device, SLOTS, WriteError},
    line::{Line, escape, fd},
    share::{self, Attached},
};
use crate::plan::{Accelerator, CacheMount, Machine, Network, Plan, ROOT_SERIAL, Resources, SCRATCH_SERIAL};

/// QEMU's set of descriptors with the scratch disk (`/dev/fdset/1`).
const SCRATCH_SET: u32 = 1;

/// The size of TCG's translation cache in MiB: the default is too small for the code of a compiler.
const TB_SIZE_MIB: u32 = 512;

/// The processor's model under TCG: all that it emulates but ERMS. With that the guest's kernel copies with `rep movsb`, which TCG
/// executes byte by byte: to read a file from the page cache took eight times as long.
pub const TCG_MODEL: &str = "max,-erms";

/// The files of a microVM.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// QEMU itself.
    pub qemu: &'a Path,
    /// An uncompressed kernel with a PVH entry.
    pub vmlinux: &'a Path,
    /// The agent and its modules.
    pub initramfs: &'a Path,
    /// The erofs image of the root.
    pub root: &'a Path,
}

/// How a guest starts.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Its kernel boots.
    Boot,
    /// Its kernel boots without the devices of a build, to become a template.
    MakeTemplate {
        /// The file for its memory.
        memory: &'a Path,
    },
    /// It is restored from a template, with the devices of a build.
    Restore {
        /// The file with the template's memory.
        memory: &'a Path,
    },
}

/// The whole command line, program first.
pub fn argv(plan: &Plan, kind: &Machine, files: Files<'_>, start: Start<'_>) -> Vec<OsString> {
    let mut line = Line::new(files.qemu);
    general(&mut line);
    let attached = attached(plan, kind, start);
    machine(&mut line, kind, plan.resources, GuestMemory::of(plan, kind, start), attached);
    match start {
        Start::Boot | Start::MakeTemplate { .. } => kernel(&mut line, kind, files, attached),
        // QEMU is told the file of the state by QMP.
        Start::Restore { .. } => line.opt("-incoming", "defer"),
    }
    // A restored guest has these in the same transports as its template, since devices get them in this order.
    consoles(&mut line);
    monitor(&mut line);
    match start {
        Start::Boot | Start::Restore { .. } => {
            disks(&mut line, files);
            share::switches(&mut line, plan, kind, attached);
            network(&mut line, kind, plan.network);
        }
        Start::MakeTemplate { .. } => {}
    }
    line.words()
}

fn general(line: &mut Line) {
    line.opt("-name", "kiln,debug-threads=on");
    line.flag("-nodefaults");
    line.flag("-no-user-config");
    line.opt("-display", "none");
    // Without ACPI a power-off only halts. The agent reboots instead, and QEMU exits.
    line.flag("-no-reboot");
    // A guest that takes over QEMU cannot fork, exec or change its credentials.
    line.opt("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

/// The guest's memory. Shared memory has slower page faults, since it has no huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GuestMemory<'a> {
    /// Private memory of QEMU.
    Own,
    /// Memory that a vhost-user daemon accesses, too. A memfd has no name that could be left behind.
    Shared,
    /// A file that gets the memory.
    File(&'a Path),
    /// A private mapping of a template's memory: writes stay with this guest.
    Template(&'a Path),
    /// A copy of a template's memory, which a vhost-user daemon accesses, too: a memfd of kiln.
    Copy,
}

impl<'a> GuestMemory<'a> {
    fn of(plan: &Plan, machine: &Machine, start: Start<'a>) -> Self {
        match (start, has_daemon(plan, machine)) {
            (Start::Boot, false) => Self::Own,
            (Start::Boot, true) => Self::Shared,
            (Start::MakeTemplate { memory }, _) => Self::File(memory),
            (Start::Restore { memory }, false) => Self::Template(memory),
            (Start::Restore { .. }, true) => Self::Copy,
        }
    }

    /// The value of `-object`, but for the size; `None` for QEMU's default.
    fn object(self) -> Option<OsString> {
        let file = |share: &str, path: &Path| {
            let mut object = OsString::from(format!("memory-backend-file,id=memory,share={share},mem-path="));
            object.push(escape(path));
            object
        };
        match self {
            Self::Own => None,
            Self::Shared => Some("memory-backend-memfd,id=memory,share=on".into()),
            Self::File(path) => Some(file("on", path)),
            Self::Template(path) => Some(file("off", path)),
            Self::Copy => Some(file("on", Path::new(&format!("/proc/self/fd/{}", fd::MEMORY)))),
        }
    }
}

/// Whether a vhost-user daemon accesses the guest's memory.
pub(super) fn has_daemon(plan: &Plan, machine: &Machine) -> bool {
    plan.cache.as_ref().is_some_and(CacheMount::has_daemon) || machine.source_has_daemon()
}

/// How a guest gets the devices of its daemons.
pub(super) fn attached(plan: &Plan, machine: &Machine, start: Start<'_>) -> Attached {
    match start {
        Start::Boot => Attached::AtStart,
        Start::MakeTemplate { .. } | Start::Restore { .. } if has_daemon(plan, machine) => Attached::Later,
        Start::MakeTemplate { .. } | Start::Restore { .. } => Attached::AtStart,
    }
}

fn machine(
    line: &mut Line,
    machine: &Machine,
    resources: Resources,
    guest_memory: GuestMemory<'_>,
    attached: Attached,
) {
    let Resources { cpus, memory_mib, memory_from: _ } = resources;
    let (accelerator, model) = match machine.accelerator {
        Accelerator::Kvm => ("kvm".to_owned(), "host"),
        Accelerator::Tcg => (format!("tcg,thread=multi,tb-size={TB_SIZE_MIB}"), TCG_MODEL),
    };
    // pit and pic stay on: without them the guest hangs under TCG. There is no serial port: each byte would be a VM exit.
    // One I/O APIC has interrupts for eight transports, whose numbers a template knows.
    let object = guest_memory.object();
    let memory = if object.is_some() { ",memory-backend=memory" } else { "" };
    // Only a PCI slot takes a device after the start.
    let pcie = match attached {
        Attached::AtStart => "",
        Attached::Later => ",pcie=on",
    };
    line.opt(
        "-machine",
        format!("microvm,pit=on,pic=on,rtc=on,ioapic2=off,isa-serial=off,x-option-roms=off{pcie}{memory}"),
    );
    line.opt("-accel", accelerator);
    line.opt("-cpu", machine.cpu_model.as_deref().unwrap_or(model));
    line.opt("-smp", cpus.to_string());
    line.opt("-m", format!("{memory_mib}M"));
    if let Some(mut object) = object {
        object.push(format!(",size={memory_mib}M"));
        line.opt("-object", object);
    }
    line.opt("-global", "virtio-mmio.force-legacy=false");
    line.opt("-object", "rng-builtin,id=random");
    line.device(Device::Random { rng: "random" });
    match attached {
        Attached::AtStart => {}
        Attached::Later => {
            SLOTS.iter().zip(1..).for_each(|(id, number)| line.device(Device::Slot { id, number }));
        }
    }
}

fn kernel(line: &mut Line, machine: &Machine, files: Files<'_>, attached: Attached) {
    line.path("-kernel", files.vmlinux);
    line.path("-initrd", files.initramfs);
    line.opt("-append", super::cmdline::kernel_arguments(machine, attached));
}

fn consoles(line: &mut Line) {
    line.device(Device::Serial);
    line.opt("-chardev", format!("socket,id=console,fd={}", fd::CONSOLE));
    line.device(Device::Console { chardev: "console" });
    line.opt("-chardev", format!("socket,id=agent,fd={}", fd::AGENT));
    line.device(Device::AgentPort { chardev: "agent" });
}

fn monitor(line: &mut Line) {
    line.opt("-chardev", format!("socket,id=monitor,fd={}", fd::MONITOR));
    line.opt("-mon", "chardev=monitor,mode=control");
}

fn disks(line: &mut Line, files: Files<'_>) {
    let mut root = OsString::from(
        "driver=raw,node-name=root,read-only=on,file.driver=file,file.locking=off,file.filename=",
    );
    root.push(escape(files.root));
    line.opt("-blockdev", root);
    line.device(Device::Disk { drive: "root", serial: ROOT_SERIAL, on_write_error: WriteError::Default });
    line.opt("-add-fd", format!("fd={},set={SCRATCH_SET}", fd::SCRATCH));
    // The disk does not outlive the guest, so flushes of the guest are ignored.
    line.opt(
        "-blockdev",
        format!(
            "driver=raw,node-name=scratch,discard=unmap,cache.no-flush=on,file.driver=file,file.locking=off,file.filename=/dev/fdset/{SCRATCH_SET}"
        ),
    );
    line.device(Device::Disk { drive: "scratch", serial: SCRATCH_SERIAL, on_write_error: WriteError::Stop });
}

fn network(line: &mut Line, machine: &Machine, network: Network) {
    match network {
        Network::Off => {}
        Network::On => {
            // SLIRP connects, as this user, to the destination of each frame, 127.0.0.1 included, and has no option against
            // this. So the card is not connected to SLIRP: its frames go to kiln's filter, which forwards them to SLIRP.
            line.opt("-netdev", format!("socket,id=card,fd={}", fd::CARD));
            line.device(Device::Card { netdev: "card" });
            line.opt("-netdev", format!("user,id=slirp,ipv6=off{}", machine.slirp.options()));
            line.opt("-netdev", format!("socket,id=filtered,fd={}", fd::SLIRP));
            for port in ["slirp", "filtered"] {
                line.opt("-netdev", format!("hubport,id={port}-port,hubid=0,netdev={port}"));
            }
        }
    }
}
