//! Seven package managers in every backend: the projects of `examples/` are built from their registries with an empty
//! cache, then, in a fresh guest without a network, from the cache alone.
//!
//! pip asks its index for versions even then: its second build has a network, and must use the wheels that the first built.

mod project;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

use kiln::ecosystem::{self, Kind};
use serde_json::Value;

use self::project::{NAMES, Network, Project};
use crate::{lot::Lot, place::Place};

/// So many cells are drawn where not all are run.
const FEW: usize = 2;
/// One root for all seven, made once.
const IMAGE: &str = "debian:bookworm+build-essential,ca-certificates,cargo-web,composer,curl,git,golang-go,maven,nodejs,npm,openjdk-17-jdk-headless,openssl,php-cli,php-mbstring,php-zip,python3,python3-pip,python3-setuptools,python3-wheel,rustc-web,unzip,zip";

/// A way to run a build and to keep what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    NineP,
    Virtiofs,
    Bubblewrap,
}

impl Backend {
    const ALL: [Self; 3] = [Self::NineP, Self::Virtiofs, Self::Bubblewrap];

    fn choose(self, command: &mut Command) {
        match self {
            Self::NineP => {
                command.args(["--runner", "qemu", "--accel", "tcg", "--memory", "3Gi"]);
                command.args(["--cache-mode", "commit"]);
            }
            Self::Virtiofs => {
                command.args(["--runner", "qemu", "--accel", "tcg", "--memory", "3Gi"]);
                command.args(["--virtiofsd", "spawned"]);
            }
            Self::Bubblewrap => {
                command.args(["--runner", "bubblewrap"]);
            }
        }
    }
}

#[test]
fn a_second_build_needs_no_registry() {
    let cells = Backend::ALL.iter().flat_map(|backend| NAMES.map(|name| (name, *backend))).collect();
    let (lot, cells) = Lot::of("ecosystems", cells, FEW);
    for (name, backend) in wanted(cells) {
        lot.say(&format!("{name} in {backend:?}"));
        build_twice(name, backend);
    }
}

/// `KILN_ECOSYSTEMS=go,pip` and `KILN_BACKENDS=Bubblewrap` name some of them.
fn wanted(cells: Vec<(&'static str, Backend)>) -> Vec<(&'static str, Backend)> {
    let wanted = |variable: &str, name: &str| {
        std::env::var(variable).ok().is_none_or(|list| list.split(',').any(|word| word == name))
    };
    cells
        .into_iter()
        .filter(|(name, backend)| {
            wanted("KILN_ECOSYSTEMS", name) && wanted("KILN_BACKENDS", &format!("{backend:?}"))
        })
        .collect()
}

fn build_twice(name: &'static str, backend: Backend) {
    let place = Place::new();
    let project = Project::new(name, &place.project());
    project.for_the_first();
    let first = build(&place, backend, Network::On);
    let directory = ecosystem::named(name).unwrap().directory;
    assert_eq!(of_directory(&first, directory)["before"]["entries"], 0, "{name} in {backend:?}");
    let filled = kept(&place.project().join("cache"));
    assert!(filled.keys().any(|path| path.starts_with(directory)), "{name} in {backend:?} left nothing");

    project.for_the_second();
    let second = build(&place, backend, project.network());
    assert!(of_directory(&second, directory)["before"]["bytes"].as_u64() > Some(0), "{name} in {backend:?}");
    let after = kept(&place.project().join("cache"));
    let anew: Vec<_> = after.iter().filter(|(path, size)| filled.get(*path) != Some(*size)).collect();
    assert!(anew.is_empty(), "{name} in {backend:?} made anew: {anew:?}");
    let said = said(&second);
    for word in project.must_not_say() {
        assert!(!said.contains(word), "{name} in {backend:?} said {word:?}\n{said}");
    }
}

fn build(place: &Place, backend: Backend, network: Network) -> Output {
    let mut command = place.kiln();
    command.args(["build", "file.yaml", "--image", IMAGE, "--progress", "json", "--source-dir", "source"]);
    command.args(["--cache-dir", "cache", "--step-timeout", "20m", "--env-file", "variables"]);
    command.args(["--network", if network == Network::On { "on" } else { "off" }]);
    backend.choose(&mut command);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        said(&output),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn events(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the steps printed.
fn said(output: &Output) -> String {
    events(output).iter().filter_map(|event| event["text"].as_str()).collect()
}

/// What the report says of a directory.
fn of_directory(output: &Output, name: &str) -> Value {
    let events = events(output);
    let report = events.iter().find(|event| event["event"] == "cache").unwrap();
    assert_eq!(report["persisted"], true, "{report}");
    let directories = report["directories"].as_array().unwrap();
    directories
        .iter()
        .find(|directory| directory["name"] == name)
        .unwrap_or_else(|| panic!("{report}"))
        .clone()
}

/// The entries of a cache and their sizes: neither junk, nor what every build writes anew.
fn kept(cache: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![cache.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let inside = path.strip_prefix(cache).unwrap();
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if ecosystem::kind(inside) == Kind::Kept {
            found.insert(inside.to_string_lossy().into_owned(), metadata.len());
        }
    }
    found
}
