//! Seven package managers in every backend: the projects of `examples/` are built from their registries with an empty
//! cache, then, in a fresh guest without a network, from the cache alone.
//!
//! pip asks its index for versions even then: its second build has a network, and must use the wheels that the first built.
//!
//! `cargo test` runs ten cells, drawn by the seed and named: each package manager once where no machine is emulated, two more
//! of those, and one microVM.

mod authority;
mod held;
mod host_module_cache;
mod project;
mod pruned;
mod reported;

use std::{collections::BTreeSet, process::Command};

use kiln::ecosystem;
use nix::unistd::geteuid;

use self::{
    held::Held,
    project::{NAMES, Network, Project},
    reported::{Reported, Row},
};
use crate::{
    place::Place,
    proxy::Proxy,
    sampling::{Sampler, named},
    skip::skip,
};

/// One root for all seven, made once.
const IMAGE: &str = "debian:bookworm+build-essential,ca-certificates,cargo-web,composer,curl,git,golang-go,maven,nodejs,npm,openjdk-17-jdk-headless,openssl,php-cli,php-mbstring,php-zip,python3,python3-pip,python3-setuptools,python3-wheel,rustc-web,unzip,zip";
/// Besides one of each, so many cells without a machine are drawn where not all are run.
const MORE: usize = 2;
/// The tools that an ordinary user runs in microVMs: files of all modes, hard links, and a directory that is half the cache's.
const IN_MACHINES: [&str; 3] = ["go", "npm", "cargo"];
/// The bytes that pip downloads in the first build only: the larger of its two archives, roughly. The pages of the
/// index come both times.
const ARCHIVE: u64 = 20_000;

/// No package is so small; what a network says of itself is smaller.
const CHATTER: u64 = 4_000;

/// A way to run a build and to keep what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    NineP,
    Virtiofs,
    Embedded,
    Docker,
    Bubblewrap,
}

impl Backend {
    const ALL: [Self; 5] = [Self::NineP, Self::Virtiofs, Self::Embedded, Self::Docker, Self::Bubblewrap];

    fn is_machine(self) -> bool {
        match self {
            Self::NineP | Self::Virtiofs | Self::Embedded => true,
            Self::Docker | Self::Bubblewrap => false,
        }
    }

    /// Whether the guest's network cards are its own.
    fn has_own_network(self) -> bool {
        self != Self::Bubblewrap
    }

    /// Names it on a command line.
    fn choose(self, command: &mut Command) {
        command.args(match self {
            Self::NineP => ["--runner", "qemu", "--accel", "tcg", "--memory", "3Gi"].as_slice(),
            Self::Virtiofs => {
                &["--runner", "qemu", "--accel", "tcg", "--memory", "3Gi", "--virtiofsd", "spawned"]
            }
            Self::Embedded => {
                &["--runner", "qemu", "--accel", "tcg", "--memory", "3Gi", "--virtiofsd", "embedded"]
            }
            Self::Docker => &["--runner", "docker"],
            Self::Bubblewrap => &["--runner", "bubblewrap"],
        });
    }

    /// Whether reads are counted, for the user that runs kiln in a place.
    fn counting(self, place: &Place) -> Counting {
        match self {
            Self::NineP | Self::Virtiofs | Self::Embedded => Counting::Exact,
            Self::Docker | Self::Bubblewrap if place.uid() == 0 => Counting::Exact,
            Self::Docker | Self::Bubblewrap => Counting::Impossible("fanotify"),
        }
    }

    /// The mode in which what it writes into the cache is kept.
    fn keeping(self) -> &'static str {
        match self {
            Self::NineP => "commit",
            Self::Virtiofs | Self::Embedded | Self::Docker | Self::Bubblewrap => "auto",
        }
    }
}

/// The report on the reads of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    /// All of it.
    Exact,
    /// Nothing, and these words stand in the reason.
    Impossible(&'static str),
}

/// A package manager in a backend.
type Cell = (&'static str, Backend);

#[test]
fn a_second_build_needs_no_registry() {
    let cells = Backend::ALL.iter().flat_map(|backend| NAMES.map(|name| (name, *backend))).collect();
    let (sampler, cells) = Sampler::choosing("ecosystems", wanted(cells), few);
    for (name, backend) in cells {
        sampler.say(&format!("{name} in {backend:?}"));
        build_twice(name, backend, &Place::new());
    }
}

#[test]
fn what_an_ordinary_users_builds_keep_belongs_to_that_user() {
    let machines = [Backend::NineP, Backend::Virtiofs, Backend::Embedded];
    let in_machines = IN_MACHINES.iter().flat_map(|name| machines.map(|backend| (*name, backend)));
    let cells = NAMES.map(|name| (name, Backend::Bubblewrap)).into_iter().chain(in_machines).collect();
    let (sampler, cells) =
        Sampler::choosing("ecosystems of an ordinary user", wanted(cells), one_without_a_machine);
    if !geteuid().is_root() {
        return skip("only root can run kiln as another user");
    }
    // The sandbox's root is unpacked once for all of them.
    let place = Place::of_ordinary_user();
    for (name, backend) in cells {
        sampler.say(&format!("{name} in {backend:?}"));
        build_twice(name, backend, &place);
    }
}

#[test]
fn registries_are_reached_through_a_proxy_of_this_hosts_loopback() {
    // The one of Composer lies in the guest.
    let names = NAMES.iter().filter(|name| **name != "composer");
    let backends = [Backend::Virtiofs, Backend::Docker, Backend::Bubblewrap];
    let cells = names.flat_map(|name| backends.map(|backend| (*name, backend))).collect();
    let (sampler, cells) = Sampler::choosing("proxies of ecosystems", wanted(cells), one_without_a_machine);
    for (name, backend) in cells {
        sampler.say(&format!("{name} in {backend:?}"));
        let (place, proxy) = (Place::new(), Proxy::start());
        let project = Project::new(name, &place.directory(name));
        project.for_the_first();
        project.count_received();
        let reported = build(&place, &project, backend, Way::Through(&proxy));
        assert!(!proxy.asked().is_empty(), "{name} in {backend:?} did not use the proxy");
        if backend.has_own_network() {
            let received = reported.received();
            assert!(received < CHATTER, "{name} in {backend:?} received {received} bytes past the proxy");
        }
    }
}

/// Ten of all cells, which come in the order in which they were drawn. Maven takes a machine without KVM minutes.
fn few(drawn: Vec<Cell>) -> Vec<Cell> {
    let (machines, others): (Vec<Cell>, _) = drawn.into_iter().partition(|(_, backend)| backend.is_machine());
    let mut seen = BTreeSet::new();
    let (mut few, rest): (Vec<Cell>, Vec<Cell>) =
        others.into_iter().partition(|(name, _)| seen.insert(*name));
    few.extend(rest.into_iter().take(MORE));
    // Where only Maven's machines were chosen, one of them is taken.
    let slow = machines.first().filter(|_| few.is_empty()).copied();
    few.extend(machines.into_iter().find(|(name, _)| *name != "maven").or(slow));
    few
}

/// One in a machine is drawn where others were not chosen.
fn one_without_a_machine(drawn: Vec<Cell>) -> Vec<Cell> {
    let without = drawn.iter().find(|(_, backend)| !backend.is_machine());
    without.or(drawn.first()).copied().into_iter().collect()
}

#[test]
fn where_something_was_chosen_something_is_drawn() {
    for cell in [("maven", Backend::NineP), ("go", Backend::Virtiofs), ("go", Backend::Docker)] {
        assert_eq!(few(vec![cell]), [cell]);
        assert_eq!(one_without_a_machine(vec![cell]), [cell]);
    }
    assert_eq!(few(vec![("maven", Backend::NineP), ("go", Backend::NineP)]), [("go", Backend::NineP)]);
}

/// The cells that can run here, of those that `KILN_ECOSYSTEMS=go,pip` and `KILN_BACKENDS=Bubblewrap` name.
fn wanted(mut cells: Vec<Cell>) -> Vec<Cell> {
    let names = named("KILN_ECOSYSTEMS", NAMES.to_vec(), |name| (*name).to_owned());
    let mut backends = named("KILN_BACKENDS", Backend::ALL.to_vec(), |backend| format!("{backend:?}"));
    backends.retain(|backend| is_there(*backend));
    cells.retain(|(name, backend)| names.contains(name) && backends.contains(backend));
    cells
}

fn is_there(backend: Backend) -> bool {
    let answers = || Command::new("docker").arg("info").output().is_ok_and(|output| output.status.success());
    if backend == Backend::Docker && !answers() {
        skip("no docker daemon answers");
        return false;
    }
    true
}

fn build_twice(name: &'static str, backend: Backend, place: &Place) {
    let cell = format!("{name} in {backend:?}");
    let directory = ecosystem::named(name).unwrap().directory;
    let project = Project::new(name, &place.directory(&format!("{name}-{backend:?}")));
    project.for_the_first();
    let first = build(place, &project, backend, Way::Direct);
    let row = first.of_directory(directory);
    assert_eq!(row.before.entries, 0, "{cell}: {row:?}");
    // An empty cache needs no counting.
    assert_eq!(row.reused.as_ref().map(|reused| reused.entries), Some(0), "{cell}: {row:?}");
    let filled = Held::of(&project.cache(), place.uid());
    assert!(filled.entries(directory) > 0, "{cell} left nothing");

    project.for_the_second();
    let way = if project.network() == Network::On { Way::Direct } else { Way::Not };
    let second = build(place, &project, backend, way);
    let after = Held::of(&project.cache(), place.uid());
    let made_anew = after.made_anew(&filled);
    assert!(made_anew.is_empty(), "{cell} made anew: {made_anew:?}");
    let row = second.of_directory(directory);
    assert!(row.before.bytes > 0, "{cell}: {row:?}");
    assert_eq!((row.new.entries, row.new.bytes), (0, 0), "{cell}: {row:?}");
    assert_hits(&cell, &second, backend.counting(place), &row, filled.bytes_of_no_entry(directory));
    let said = second.said();
    for word in project.must_not_say() {
        assert!(!said.contains(word), "{cell} said {word:?}\n{said}");
    }
    if project.network() == Network::On && backend.has_own_network() {
        let (first, second) = (first.received(), second.received());
        assert!(second + ARCHIVE <= first, "{cell} received {first} bytes, then {second}");
    }
}

/// The report shows that entries were used, or says why it cannot. `others`: the bytes of all that is read besides.
fn assert_hits(cell: &str, reported: &Reported, counting: Counting, row: &Row, others: u64) {
    let why = reported.reused_why();
    match (counting, &row.reused, &why) {
        // A tool that replaces what it has read (npm's index) leaves nothing to tell how much that was: then it is a least.
        (Counting::Exact, Some(reused), why) if why.as_ref().is_none_or(|why| why.contains(REPLACED)) => {
            assert!(reused.bytes > others, "{cell} used no entry: {row:?}");
            assert!(reused.entries <= row.before.entries, "{cell}: {row:?}");
        }
        (Counting::Impossible(reason), None, Some(why)) => assert!(why.contains(reason), "{cell}: {why}"),
        (Counting::Exact | Counting::Impossible(_), _, _) => panic!("{cell}: {row:?}, {why:?}"),
    }
}

/// Why a count is a least.
const REPLACED: &str = "the build changed, replaced or removed ";

/// How a build reaches registries.
enum Way<'p> {
    Direct,
    Through(&'p Proxy),
    Not,
}

/// A build that keeps what it writes into the cache.
fn build(place: &Place, project: &Project, backend: Backend, way: Way<'_>) -> Reported {
    run(place, project, backend, way, &["--cache-dir", "cache", "--cache-mode", backend.keeping()])
}

fn run(place: &Place, project: &Project, backend: Backend, way: Way<'_>, cache: &[&str]) -> Reported {
    let mut command = place.kiln();
    command.current_dir(project.directory());
    command.args(["build", "file.yaml", "--image", IMAGE, "--progress", "json", "--source-dir", "source"]);
    command.args(["--step-timeout", "20m", "--env-file", "variables"]).args(cache);
    match way {
        Way::Direct => {}
        Way::Through(proxy) => {
            command.env("HTTPS_PROXY", proxy.url());
        }
        Way::Not => {
            command.args(["--network", "off"]);
        }
    }
    backend.choose(&mut command);
    let output = command.output().unwrap();
    let reported = Reported::new(&output);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{}{error}\n{}", reported.said(), reported.failure());
    reported
}
