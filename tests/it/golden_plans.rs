//! Plans of a recipe, options and a host. Every change of a plan shows up in a golden file, of which there is one
//! for each way in which backend, cache mode, user, share and network meet. `KILN_UPDATE_GOLDEN=1 cargo test --test it golden_plans`
//! writes them anew.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use kiln::{
    backend::{bubblewrap::plan::SandboxRules, docker::plan::ContainerRules, qemu::plan::MicrovmRules},
    compile::{self, Arch, Options, Recipe},
    host::{Host, cgroup::Cgroups},
    manifest,
    pipelines::Library,
    plan::{
        Accelerator, AcceleratorOption, BuildOptions, CacheModeOption, DebianRoot, Facts, HostLoopback,
        HostSettings, Ids, ImageRecipe, ImageSource, InsecureRepositories, Network, PackagingOptions, Plan,
        Platform, PlatformRules, RepositoryOptions, RootForm, RunnerKind, Slirp, SourceShare, StartOption,
        Trace, VirtiofsOption, resolve,
    },
};

use serde::Serialize;

/// A build file with something for every part of a plan; `USER` is whom steps run as.
const BUILD_FILE: &str = "package:
  name: p
  version: 1.2
  epoch: 3
environment:
  contents: {packages: [build-base]}
  accounts:
    run-as: USER
    users: [{username: build, uid: 1000, gid: 1000}]
    groups: [{groupname: build, gid: 1000}]
pipeline: [{runs: make}]
subpackages: [{name: p-dev, pipeline: [{runs: 'mkdir x'}]}]
";

fn recipe(user: &str) -> Recipe {
    let text = BUILD_FILE.replace("USER", user);
    let manifest = manifest::parse(&text, Path::new("p.yaml")).expect("it is valid");
    compile::compile(&manifest, &Options::new(Arch::X86_64), &Library::new([])).expect("it compiles")
}

/// A backend, as a case names it.
#[derive(Clone, Copy)]
enum Backend {
    Qemu(VirtiofsOption, SourceShare),
    Docker,
    Bubblewrap(Ids),
}

/// The case of a golden file.
#[derive(Clone, Copy)]
struct Case {
    backend: Backend,
    mode: Option<CacheModeOption>,
    user: &'static str,
    network: Network,
    source: bool,
}

const MODES: [(CacheModeOption, &str); 4] = [
    (CacheModeOption::Discard, "discard"),
    (CacheModeOption::Ro, "ro"),
    (CacheModeOption::Rw, "rw"),
    (CacheModeOption::Commit, "commit"),
];

const BACKENDS: [(Backend, &str); 11] = [
    (Backend::Qemu(VirtiofsOption::Off, SourceShare::NineP), "qemu-9p"),
    (Backend::Qemu(VirtiofsOption::Spawned, SourceShare::NineP), "qemu-virtiofs"),
    (Backend::Qemu(VirtiofsOption::Embedded, SourceShare::NineP), "qemu-embedded"),
    (Backend::Qemu(VirtiofsOption::Off, SourceShare::Virtiofs), "qemu-source-9p"),
    (Backend::Qemu(VirtiofsOption::Spawned, SourceShare::Virtiofs), "qemu-source-virtiofs"),
    (Backend::Qemu(VirtiofsOption::Embedded, SourceShare::Virtiofs), "qemu-source-embedded"),
    (Backend::Docker, "docker"),
    (Backend::Bubblewrap(Ids::Own), "bubblewrap-own"),
    (Backend::Bubblewrap(Ids::Root), "bubblewrap-root"),
    (Backend::Bubblewrap(Ids::Range), "bubblewrap-range"),
    (Backend::Bubblewrap(Ids::SingleUid), "bubblewrap-sole"),
];

/// All of them, with their names.
fn cases() -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for (backend, name) in BACKENDS {
        let usual = Case { backend, mode: None, user: "build", network: Network::On, source: true };
        // Where the user makes no difference to the mounts, one is enough.
        let users: &[&str] = match backend {
            Backend::Bubblewrap(Ids::Range | Ids::SingleUid | Ids::Root) => &["build"],
            Backend::Qemu(..) | Backend::Docker | Backend::Bubblewrap(Ids::Own) => &["root", "build"],
        };
        for &user in users {
            cases.extend(
                MODES.map(|(mode, of)| {
                    (format!("{name}-{of}-{user}"), Case { mode: Some(mode), user, ..usual })
                }),
            );
        }
        cases.push((format!("{name}-no-cache"), Case { network: Network::Off, ..usual }));
        cases.push((format!("{name}-no-source"), Case { source: false, ..usual }));
    }
    cases
}

fn options(case: Case) -> BuildOptions {
    let (virtiofs, source_share) = match case.backend {
        Backend::Qemu(virtiofs, source_share) => (virtiofs, source_share),
        Backend::Docker | Backend::Bubblewrap(_) => (VirtiofsOption::Off, SourceShare::default()),
    };
    let runner = match case.backend {
        Backend::Qemu(..) => RunnerKind::Qemu,
        Backend::Docker => RunnerKind::Docker,
        Backend::Bubblewrap(_) => RunnerKind::Bubblewrap,
    };
    BuildOptions {
        build_file: "p.yaml".into(),
        runner,
        accelerator: AcceleratorOption::Auto,
        start: StartOption::Auto,
        image: None,
        insecure_repositories: InsecureRepositories::Refused,
        repositories: RepositoryOptions::default(),
        source: case.source.then(|| "/src/p".into()),
        missing_source: None,
        source_share,
        hidden: vec!["packages".into(), "secret".into()],
        cache_dir: case.mode.map(|_| "/cache".into()),
        cache_mode: case.mode.unwrap_or(CacheModeOption::Auto),
        cache_sharing: None,
        virtiofs,
        request_queues: None,
        out_dir: "/out".into(),
        packaging: PackagingOptions::default(),
        memory: None,
        cpus: None,
        cpu_model: None,
        disk: None,
        granted: BTreeSet::new(),
        network: case.network,
        host_loopback: HostLoopback::Off,
        trace: Trace::Off,
        boot_timeout: None,
        step_timeout: None,
        timeout: None,
        source_date_epoch: 0,
        host_settings: HostSettings::default(),
        slirp: Slirp::default(),
        kernel_arguments: String::new(),
    }
}

fn facts(case: Case) -> Facts {
    // Only root of the machine makes these two.
    let root = matches!(case.backend, Backend::Bubblewrap(Ids::Own | Ids::Root));
    let (uid, user) = if root { (0, "root") } else { (1001, "builder") };
    let host = Host { arch: "x86_64".into(), uid, gid: uid, user: user.into(), cpus: 2, memory_mib: 16_384 };
    let rules: Box<dyn PlatformRules> = match case.backend {
        Backend::Qemu(..) => Box::new(MicrovmRules {
            tsc_khz: Some(2_400_000),
            accelerator: Accelerator::Tcg,
            modules: Vec::new(),
            spreads_requests: true,
        }),
        Backend::Docker => Box::new(ContainerRules),
        Backend::Bubblewrap(ids) => Box::new(SandboxRules {
            resolver: "nameserver 192.0.2.1\n".into(),
            ids,
            root: if root { RootForm::Image } else { RootForm::Tree },
            cgroups: Cgroups::default(),
        }),
    };
    let debian = DebianRoot { suite: "bookworm".into(), ..DebianRoot::default() };
    let image = ImageRecipe::new(ImageSource::Debian(debian), "amd64").expect("an image");
    Facts { host, rules, image, shell: "/bin/bash".into() }
}

/// A plan, one thing a line; what is the same in all plans (limits, names of system calls, steps) is left to other tests.
fn lines(plan: &Plan) -> String {
    let Plan { cache, owner, platform, guest_config, network, boot_timeout, notes, source, steps, .. } = plan;
    let mut text = Lines::default();
    text.add("source", source);
    text.add("cache", cache);
    text.add("owner", owner);
    text.add("network", network);
    text.add("boot_timeout_ms", boot_timeout.as_millis());
    match platform {
        Platform::Qemu(machine) => text.add("machine", machine),
        Platform::Docker(binds) => text.add_each("bind", binds),
        Platform::Bubblewrap(sandbox) => {
            text.add("ids", sandbox.ids);
            text.add("root", sandbox.root);
            text.add_each("bind", &sandbox.binds);
            text.add_each("group", &sandbox.groups);
        }
    }
    text.add("hostname", &guest_config.hostname);
    text.add("guest_network", &guest_config.network);
    text.add_each("mount", &guest_config.mounts);
    text.add_each("file", &guest_config.files);
    text.add("user_namespace", &guest_config.user_namespace);
    text.add("seccomp_filters", guest_config.seccomp.len());
    text.add("capabilities", &guest_config.capabilities);
    text.add("track_reads", &guest_config.track_reads);
    text.add_each("on_exit", &guest_config.on_exit);
    text.add_each("step_user", steps.iter().map(|planned| &planned.step.user));
    text.add_each("note", notes);
    text.0
}

/// A name and JSON on each line.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Serialize) {
        let json = serde_json::to_string(&value).expect("it is JSON");
        writeln!(self.0, "{name} {json}").expect("writing to a string");
    }

    fn add_each(&mut self, name: &str, values: impl IntoIterator<Item = impl Serialize>) {
        values.into_iter().for_each(|value| self.add(name, value));
    }
}

#[test]
fn plans_are_the_golden_ones() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plans");
    let (mut wrong, mut names) = (Vec::new(), BTreeSet::new());
    for (name, case) in cases() {
        let plan = resolve(&recipe(case.user), &options(case), facts(case)).expect("it can be planned");
        let (made, golden) = (lines(&plan), directory.join(format!("{name}.plan")));
        if std::env::var_os("KILN_UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&directory).expect("the directory can be made");
            fs::write(&golden, &made).expect("the golden file can be written");
        }
        if fs::read_to_string(&golden).is_ok_and(|kept| kept == made) {
            names.insert(format!("{name}.plan"));
        } else {
            wrong.push(format!("{name}:\n{made}"));
        }
    }
    assert!(wrong.is_empty(), "KILN_UPDATE_GOLDEN=1 writes these anew:\n{}", wrong.join("\n"));
    let kept = fs::read_dir(&directory).expect("the directory is there");
    let kept: BTreeSet<String> =
        kept.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(kept, names, "a golden file belongs to no case");
}
