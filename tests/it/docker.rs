//! Every change of docker's command line shows up in a golden file, one switch a line.

use std::{collections::BTreeMap, ffi::OsString, fmt::Write, fs, path::Path};

use kiln::{
    backend::docker::{Files, argv},
    plan::{
        Bind, BindSource, Layer, LimitSource, Network, Overlay, Plan, Platform, Resources, Subset, Upper,
        Writes,
    },
};
use kiln_protocol::GuestConfig;

use crate::plans::plain;

fn bind(source: &str, target: &str, writes: Writes) -> Bind {
    let source = if source.is_empty() { BindSource::Agent } else { BindSource::Directory(source.into()) };
    Bind { source, target: target.into(), writes }
}

fn overlaid(layer: Layer, upper: Upper) -> Writes {
    Writes::Overlaid(Overlay { layer, volumes: "/kiln-volumes/o".into(), upper })
}

fn hiding(paths: &[&str]) -> Layer {
    Layer { hidden: paths.iter().map(|path| (*path).to_owned()).collect(), subset: None }
}

fn subset() -> Layer {
    let shown = vec!["registry".into(), "git".into()];
    Layer { hidden: Vec::new(), subset: Some(Subset { directory: "cargo".into(), shown }) }
}

fn below(path: &str, writes: Writes) -> Bind {
    let source = BindSource::Below { directory: "/cache".into(), path: path.into() };
    Bind { source, target: format!("/var/cache/melange/{path}"), writes }
}

fn plan(binds: Vec<Bind>) -> Plan {
    let agent = bind("", "/kiln-agent", Writes::Refused);
    Plan { platform: Platform::Docker([vec![agent], binds].concat()), ..plain() }
}

/// A switch and its value stand on one line.
fn lines(argv: &[OsString]) -> String {
    let mut text = String::new();
    for (at, word) in argv.iter().enumerate() {
        let word = word.to_str().expect("the cases are UTF-8");
        let separator = match (at, word.starts_with("--")) {
            (0, _) => "",
            (_, true) => "\n",
            (_, false) => " ",
        };
        write!(text, "{separator}{word}").expect("writing to a string");
    }
    text + "\n"
}

#[test]
fn command_lines_are_the_golden_ones() {
    let usual = plan(vec![
        bind("/src/hello", "/home/build", overlaid(Layer::default(), Upper::Discarded)),
        bind("/cache", "/var/cache/melange", Writes::Through),
        Bind {
            source: BindSource::Scratch,
            target: "/var/cache/melange/cargo".into(),
            writes: Writes::Through,
        },
        below("cargo/registry", Writes::Through),
    ]);
    let alone = Plan {
        network: Network::Off,
        resources: Resources { cpus: 1, memory_mib: 512, memory_from: LimitSource::Default },
        guest_config: GuestConfig { capabilities: Some(vec![0, 12, 21]), ..plain().guest_config },
        ..plan(Vec::new())
    };
    let odd = plan(vec![
        bind(
            "/srv/a, \"b\"/größe:x\\y",
            "/home/build",
            overlaid(hiding(&["target", "a b"]), Upper::Discarded),
        ),
        bind("/srv/c,d \"e\"", "/var/cache/melange", Writes::Refused),
    ]);
    let commit = plan(vec![bind("/cache", "/var/cache/melange", overlaid(subset(), Upper::Read))]);
    let ro = plan(vec![
        bind("/cache", "/var/cache/melange", Writes::ReadOnlyOverlay(subset())),
        below("cargo/registry", Writes::Refused),
        below("cargo/git", Writes::Refused),
    ]);
    // A directory that kiln has opened has no name: here one below the read-only cache.
    let (opened, none) = (BTreeMap::from([(2, "/proc/7/fd/9".into())]), BTreeMap::new());
    for (name, plan) in
        [("usual", usual), ("alone", alone), ("odd-paths", odd), ("commit", commit), ("ro", ro)]
    {
        let files = Files {
            docker: Path::new("/usr/bin/docker"),
            root: Path::new("/var/lib/docker"),
            image: "sha256:0123",
            agent: Path::new("/home/u/.cache/kiln/agents/a"),
            run_dir: Path::new("/home/u/.cache/kiln/run/42-abc"),
            fd_paths: if name == "ro" { &opened } else { &none },
        };
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/docker-{name}.args"));
        let made = lines(&argv(&plan, files));
        if std::env::var_os("KILN_UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &made).expect("the golden file can be written");
        }
        let kept = fs::read_to_string(&golden).expect("the golden file is there");
        assert_eq!(made, kept, "{}: KILN_UPDATE_GOLDEN=1 cargo test writes it anew", golden.display());
    }
}
