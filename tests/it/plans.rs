//! A plain plan for tests, which each test changes.

use std::time::Duration;

use kiln::plan::{
    Accelerator, BuildMetadata, CacheMode, CacheMount, CacheShare, CacheSharing, DebianRoot, HostLoopback,
    HostSettings, ImageRecipe, ImageSource, LimitSource, Machine, Network, Owner, PackageId, Plan, Platform,
    Resources, Slirp, SourceShare, StartOption,
};
use kiln_protocol::GuestConfig;

/// A build of one package from a directory, under TCG, its cache by 9p.
pub(crate) fn plain() -> Plan {
    Plan {
        package: PackageId { name: "hello".into(), version: "1.0".into(), epoch: 0 },
        arch: "x86_64".into(),
        image: ImageRecipe::new(
            ImageSource::Debian(DebianRoot { suite: "bookworm".into(), ..DebianRoot::default() }),
            "amd64",
        )
        .unwrap(),
        platform: Platform::Qemu(machine()),
        resources: Resources { cpus: 2, memory_mib: 4096, memory_from: LimitSource::Default },
        network: Network::On,
        source: Some("/src/hello".into()),
        cache: Some(cache("/cache", CacheMode::Discard, CacheShare::NineP)),
        owner: Owner { guest_uid: 0, guest_gid: 0, uid: 1001, gid: 1001 },
        guest_config: GuestConfig {
            late_devices: false,
            clock_ns: None,
            entropy: Vec::new(),
            modules: Vec::new(),
            mounts: Vec::new(),
            hostname: None,
            network: None,
            groups: Vec::new(),
            identities: Vec::new(),
            files: Vec::new(),
            capabilities: None,
            track_reads: None,
            memory: None,
            written: Vec::new(),
            limits: Vec::new(),
            user_namespace: None,
            seccomp: Vec::new(),
            on_exit: Vec::new(),
        },
        host_settings: HostSettings::default(),
        steps: Vec::new(),
        artifacts: Vec::new(),
        metadata: BuildMetadata::default(),
        build_date: 0,
        build_ids: (1000, 1000),
        out_dir: "/out/x86_64".into(),
        boot_timeout: Duration::from_secs(180),
        timeout: None,
        notes: Vec::new(),
    }
}

/// A machine under TCG.
pub(crate) fn machine() -> Machine {
    Machine {
        accelerator: Accelerator::Tcg,
        start: StartOption::Auto,
        cpu_model: None,
        tsc_khz: Some(2_400_000),
        disk_bytes: 50 << 30,
        disk_from: LimitSource::Default,
        slirp: Slirp::default(),
        host_loopback: HostLoopback::Off,
        kernel_arguments: String::new(),
        source_share: Some(SourceShare::NineP),
        request_queues: None,
    }
}

/// A cache.
pub(crate) fn cache(directory: &str, mode: CacheMode, share: CacheShare) -> CacheMount {
    CacheMount::new(directory.into(), mode, share, Some(CacheSharing::Shared))
}
