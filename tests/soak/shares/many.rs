//! Many files and many operations through kiln's own device: its descriptors are enough, and neither they nor its memory grow.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use nix::sys::resource::{Resource, getrlimit};

use super::{
    run::{ARGUMENTS, Host, give, output, write_build_file},
    share::Share,
};
use crate::{
    leftovers::Leftovers,
    place::Place,
    process_tree::members,
    sampling::{Sampler, takes_all},
    skip::skip,
};

const SCRIPT: &str = include_str!("many.py");

/// How much there is to do.
struct Numbers {
    /// Files whose status is looked up.
    looked_up: usize,
    /// Of these, held open at once.
    held: usize,
    /// System calls on names and content.
    operations: u64,
    /// The limit of open files of kiln, and so of the device.
    descriptors: u64,
}

const SOAK: Numbers =
    Numbers { looked_up: 1_000_000, held: 100_000, operations: 10_000_000, descriptors: 200_000 };
const SHORT: Numbers = Numbers { looked_up: 10_000, held: 1_600, operations: 8_000, descriptors: 4_096 };

/// Files of the host in a directory.
const IN_DIRECTORY: usize = 1_000;

/// Names that the guest comes to know between two marks: the files that the host makes for it.
const NEW_NAMES: usize = 8;

/// What the device holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    /// Its own memory, in KiB: the guest's, which it maps, is not in it.
    memory_kib: usize,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} descriptors, {} KiB", self.descriptors, self.memory_kib)
    }
}

#[test]
fn the_device_holds_many_files_and_does_not_grow() {
    let shares = vec![Share::EmbeddedShared, Share::EmbeddedAlone];
    let (sampler, shares) = Sampler::of("many files", shares, 1);
    let numbers = possible(if takes_all() { SOAK } else { SHORT });
    for share in shares {
        let held = keep_busy(share, &numbers);
        for (mark, held) in &held {
            sampler.say(&format!("{share:?}, {mark}: {held}"));
        }
        let at = |mark: &str| held.get(mark).unwrap_or_else(|| panic!("{share:?}: no {mark} in {held:?}"));
        assert!(at("held").descriptors >= numbers.held, "{share:?}: {held:?}");
        // A guest that has the cache alone opens files without a message: what it holds open takes no further descriptor.
        let released = match share {
            Share::EmbeddedAlone => 0,
            _ => numbers.held,
        };
        assert!(
            at("released").descriptors + released <= at("held").descriptors + NEW_NAMES,
            "{share:?}: {held:?}"
        );
        let (warm, worked) = (at("warm"), at("worked"));
        assert!(worked.descriptors <= warm.descriptors + NEW_NAMES, "{share:?}: {warm}, then {worked}");
        assert!(worked.memory_kib * 100 <= warm.memory_kib * 105, "{share:?}: {warm}, then {worked}");
    }
}

/// The numbers, with as many files held as the descriptors that this host allows.
fn possible(numbers: Numbers) -> Numbers {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let limit = format!("--nofile={0}:{0}", numbers.descriptors);
    let raised = Command::new("prlimit").args([&limit, "true"]).output().unwrap();
    if raised.status.success() {
        return numbers;
    }
    // A file that is held takes two descriptors of a device that is asked to open it, and the device keeps some for itself.
    let held = numbers.held.min(usize::try_from(most / 3).unwrap());
    skip(&format!("{} files held open: the limit of open files is {most} here, so {held} are", numbers.held));
    Numbers { held, descriptors: most, ..numbers }
}

/// What the device holds at each mark of the script.
fn keep_busy(share: Share, numbers: &Numbers) -> BTreeMap<String, Held> {
    let place = Host::invoker().place();
    let cache = place.project().join("cache");
    fill(&cache.join("tree"), numbers.looked_up);
    give(&place, "many.py", SCRIPT.as_bytes());
    let Numbers { looked_up, held, operations, descriptors } = numbers;
    let script = format!("python3 /home/build/many.py {} {looked_up} {held} {operations}", share.directory());
    write_build_file(&place, "root", &script);
    let mut kiln = place.kiln();
    kiln.args(ARGUMENTS);
    share.choose(&mut kiln);
    let mut kiln = with_descriptors(&kiln, *descriptors);
    let mut kiln = kiln.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut marks = BTreeMap::new();
    let mut said = String::new();
    for line in BufReader::new(kiln.stdout.take().unwrap()).lines() {
        let text = output(&line.unwrap());
        said += &text;
        for mark in text.lines().filter_map(|line| line.strip_prefix("mark ")) {
            marks.insert(mark.to_owned(), held_by_device(&place));
            fs::write(cache.join(format!("go-{mark}")), "").unwrap();
        }
    }
    let output = kiln.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{share:?}: {marks:?}\n{said}\n{error}");
    let left = Leftovers::count(&place, Vec::new());
    assert!(left.processes().is_empty(), "{share:?}: {left}");
    marks
}

/// The same command, with this limit of open files.
fn with_descriptors(kiln: &Command, limit: u64) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={limit}:{limit}")).arg(kiln.get_program()).args(kiln.get_args());
    command.current_dir(kiln.get_current_dir().unwrap()).stdin(Stdio::null());
    for (name, value) in kiln.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn fill(tree: &Path, files: usize) {
    for first in (0..files).step_by(IN_DIRECTORY) {
        let directory = tree.join((first / IN_DIRECTORY).to_string());
        fs::create_dir_all(&directory).unwrap();
        for number in 0..IN_DIRECTORY.min(files - first) {
            fs::write(directory.join(number.to_string()), "").unwrap();
        }
    }
}

/// Of the two processes of the device, the child serves.
fn held_by_device(place: &Place) -> Held {
    let devices: Vec<_> =
        members(place).into_iter().filter(|member| member.arguments.contains(" __virtiofs ")).collect();
    let is_child = |pid: i32| devices.iter().any(|device| device.pid == pid);
    let device = devices.iter().find(|device| is_child(device.parent)).expect("the device runs");
    let directory = Path::new("/proc").join(device.pid.to_string());
    let status = fs::read_to_string(directory.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says it");
    Held {
        descriptors: fs::read_dir(directory.join("fd")).unwrap().count(),
        memory_kib: line.trim().trim_end_matches(" kB").parse().unwrap(),
    }
}
