//! Every change of QEMU's command line shows up in a golden file, one switch a line.

use std::{ffi::OsString, fmt::Write, fs, path::Path};

use kiln::{
    backend::qemu::{Files, Start, argv},
    plan::{
        Accelerator, CacheMode, CacheShare, Machine, Network, Plan, Platform, RequestQueues, Slirp,
        SourceShare,
    },
};

use crate::plans::{cache, machine, plain as plan};

/// A switch and its value stand on one line.
fn lines(argv: &[OsString]) -> String {
    let mut text = String::new();
    for (at, word) in argv.iter().enumerate() {
        let word = word.to_str().expect("the cases are UTF-8");
        let value = at > 0 && !word.starts_with('-');
        write!(
            text,
            "{}{word}",
            if at == 0 {
                ""
            } else if value {
                " "
            } else {
                "\n"
            }
        )
        .expect("writing to a string");
    }
    text.push('\n');
    text
}

/// The source by kiln's own device: beside the daemon of the cache, which has one queue whatever the device has, and alone.
fn sources() -> (Plan, Plan) {
    let source = Plan {
        platform: Platform::Qemu(Machine {
            source_share: Some(SourceShare::Virtiofs),
            request_queues: Some(RequestQueues::ForEachCpu(2)),
            ..machine()
        }),
        cache: Some(cache("/cache", CacheMode::Rw, CacheShare::Virtiofs)),
        ..plan()
    };
    let alone = Plan { cache: None, ..source.clone() };
    (source, alone)
}

/// A microVM with KVM and nothing of the host.
fn kvm() -> Plan {
    Plan {
        platform: Platform::Qemu(Machine {
            accelerator: Accelerator::Kvm,
            cpu_model: Some("Haswell".into()),
            kernel_arguments: "melange.testing=1".into(),
            ..machine()
        }),
        network: Network::Off,
        cache: None,
        source: None,
        ..plan()
    }
}

/// Servers beside QEMU share source and cache.
fn by_servers() -> Plan {
    Plan {
        platform: Platform::Qemu(Machine {
            source_share: Some(SourceShare::Virtiofs),
            request_queues: Some(RequestQueues::ForEachCpu(2)),
            ..machine()
        }),
        cache: Some(cache("/cache", CacheMode::Rw, CacheShare::Embedded)),
        ..plan()
    }
}

#[test]
fn command_lines_are_the_golden_ones() {
    let odd = Plan {
        source: Some("/srv/a, b/größe,,x".into()),
        cache: Some(cache("/srv/c,d e/ж", CacheMode::Rw, CacheShare::NineP)),
        ..plan()
    };
    let virtiofs = Plan { cache: Some(cache("/cache", CacheMode::Rw, CacheShare::Virtiofs)), ..plan() };
    let embedded = Plan {
        platform: Platform::Qemu(Machine { request_queues: Some(RequestQueues::ForEachCpu(2)), ..machine() }),
        cache: Some(cache("/cache", CacheMode::Rw, CacheShare::Embedded)),
        ..plan()
    };
    let (source, source_alone) = sources();
    let network = Plan {
        platform: Platform::Qemu(Machine {
            slirp: Slirp::new(Some("172.20.0.0/24"), Vec::new()).expect("valid"),
            ..machine()
        }),
        ..plan()
    };
    let usual = "/home/u/.cache/kiln";
    let memory = Path::new("/home/ü,1 2/templates/t/memory");
    for (name, plan, home, start) in [
        ("tcg-own-network", network, usual, Start::Boot),
        ("tcg-9p", plan(), usual, Start::Boot),
        ("tcg-virtiofs", virtiofs, usual, Start::Boot),
        ("tcg-embedded", embedded, usual, Start::Boot),
        ("tcg-source", source, usual, Start::Boot),
        ("tcg-source-alone", source_alone, usual, Start::Boot),
        ("kvm-alone", kvm(), usual, Start::Boot),
        ("odd-paths", odd, "/home/ü,1 2", Start::Boot),
        ("template", plan(), "/home/ü,1 2", Start::MakeTemplate { memory }),
        ("restored-9p", plan(), "/home/ü,1 2", Start::Restore { memory }),
        ("template-virtiofs", by_servers(), usual, Start::MakeTemplate { memory }),
        ("restored-virtiofs", by_servers(), usual, Start::Restore { memory }),
        ("restored-kvm", kvm(), usual, Start::Restore { memory }),
    ] {
        let (vmlinux, initramfs, root) = (
            format!("{home}/kernels/k/vmlinux"),
            format!("{home}/initramfs/i.cpio"),
            format!("{home}/images/r/root.erofs"),
        );
        let files = Files {
            qemu: Path::new("/usr/bin/qemu-system-x86_64"),
            vmlinux: Path::new(&vmlinux),
            initramfs: Path::new(&initramfs),
            root: Path::new(&root),
        };
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/qemu-{name}.args"));
        let Platform::Qemu(machine) = &plan.platform else { panic!("{name} is not a microVM") };
        let made = lines(&argv(&plan, machine, files, start));
        if std::env::var_os("KILN_UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &made).expect("the golden file can be written");
        }
        let kept = fs::read_to_string(&golden).expect("the golden file is there");
        assert_eq!(made, kept, "{}: KILN_UPDATE_GOLDEN=1 cargo test writes it anew", golden.display());
    }
}
