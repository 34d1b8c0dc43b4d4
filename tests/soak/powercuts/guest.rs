//! The first and only program of the machine whose plug is pulled.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use kiln::{
    cache::{
        CommitLimit, Lease, LockMode, Outcome, Request, commit, finish, stage, sweep, try_acquire, verify,
    },
    home::Home,
    image::Feature,
};
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        termios::tcdrain,
    },
    unistd::sync,
};

use super::trace;
use crate::commit::fixture;

/// Which job it has, in the environment that the kernel gives it.
pub(super) const JOB: &str = "KILN_TEST_JOB";
/// The file with the paths of the modules, in the order in which they load.
pub(super) const MODULES: &str = "/modules";
/// How a line begins that is for the host.
pub(super) const SAYS: &str = "guest: ";
/// The features that the kernel must have.
pub(super) const FEATURES: [Feature; 4] = [Feature::Channel, Feature::Block, Feature::Ext4, Feature::Overlay];

/// As little as possible is written by itself: data whenever it likes, metadata once in five minutes. Flushes are flushes.
const EXT4: &str = "data=writeback,noauto_da_alloc,commit=300,errors=panic";

/// The task of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// It looks, and makes commits until its end.
    Commits,
    /// It makes them on a file system that ignores flushes.
    CommitsUnflushed,
    /// It looks, and ends.
    Look,
}

impl Job {
    const ALL: [Self; 3] = [Self::Commits, Self::CommitsUnflushed, Self::Look];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::CommitsUnflushed => "commits-unflushed",
            Self::Look => "look",
        }
    }
}

#[test]
#[ignore = "not a test of its own"]
fn first_program() {
    let word = std::env::var(JOB).expect("only the machine runs this");
    let job = Job::ALL.into_iter().find(|job| job.word() == word).unwrap();
    prepare();
    let place = mounted(job);
    say("mounted");
    let found = look(&place);
    say(&format!("found {found}"));
    if job == Job::Look {
        sync();
        reboot(RebootMode::RB_AUTOBOOT).unwrap();
    }
    let mut number = found;
    loop {
        number += 1;
        make(&place, number);
    }
}

/// Where cache and home lie.
struct Place {
    cache: PathBuf,
    home: PathBuf,
}

impl Place {
    fn below(cache: &str, home: &str) -> Self {
        let place = Self { cache: Path::new(cache).join("cache"), home: Path::new(home).join("home") };
        fs::create_dir_all(&place.cache).unwrap();
        place
    }

    fn lease(&self, lock_mode: LockMode) -> Lease {
        let request =
            Request { directory: self.cache.clone(), lock_mode, who: "a test".into(), limit: Duration::ZERO };
        try_acquire(&Home::at(&self.home), &request).unwrap().expect("no other process is here")
    }
}

fn prepare() {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount(Some(kind), target, Some(kind), MsFlags::empty(), None::<&str>).unwrap();
    }
    for (setting, value) in
        [("dirty_writeback_centisecs", "0"), ("dirty_ratio", "90"), ("dirty_background_ratio", "80")]
    {
        fs::write(Path::new("/proc/sys/vm").join(setting), value).unwrap();
    }
    for module in fs::read_to_string(MODULES).unwrap().lines() {
        finit_module(File::open(module).unwrap(), c"", ModuleInitFlags::empty()).unwrap();
    }
}

fn mounted(job: Job) -> Place {
    disk("cache");
    let home = if disk("home") { "/home" } else { "/cache" };
    if job != Job::CommitsUnflushed {
        return Place::below("/cache", home);
    }
    // Above the directory that is looked at later: there is what is flushed.
    for directory in ["/cache/none", "/cache/scratch", "/cache/cache", "/cache/home"] {
        fs::create_dir(directory).unwrap();
    }
    let unflushed = |name: &str| {
        let target = format!("/unflushed/{name}");
        fs::create_dir(&target).unwrap();
        let work = format!("/cache/scratch/{name}");
        fs::create_dir(&work).unwrap();
        let options = format!("lowerdir=/cache/none,upperdir=/cache/{name},workdir={work},volatile");
        mount(Some("overlay"), &*target, Some("overlay"), MsFlags::empty(), Some(&*options)).unwrap();
        PathBuf::from(target)
    };
    sync();
    Place { cache: unflushed("cache"), home: unflushed("home") }
}

/// Mounts the disk of this name, if there is one, at its name.
fn disk(name: &str) -> bool {
    let has_name = |device: &PathBuf| {
        fs::read_to_string(device.join("serial")).is_ok_and(|serial| serial.trim() == name)
    };
    let devices = fs::read_dir("/sys/block").unwrap().map(|device| device.unwrap().path());
    let Some(device) = devices.into_iter().find(has_name) else { return false };
    let device = Path::new("/dev").join(device.file_name().unwrap());
    mount(Some(&device), &*format!("/{name}"), Some("ext4"), MsFlags::empty(), Some(EXT4)).unwrap();
    true
}

/// How many commits the cache holds; it is exactly what they make of it.
fn look(place: &Place) -> u64 {
    let lease = place.lease(LockMode::Shared);
    let verdict = verify(&lease).unwrap();
    assert_eq!((&*verdict.faults, &*verdict.leftovers, verdict.waiting), (&[][..], &[][..], 0));
    assert!(verdict.records.is_empty(), "{verdict:?}");
    drop(lease);
    let seen = fixture::seen(&place.cache);
    let number = trace::number(&place.cache);
    let expected = trace::cache_after(number);
    let wrong: Vec<_> = seen.iter().filter(|(path, what)| expected.get(*path) != Some(what)).collect();
    let missing: Vec<_> = expected.keys().filter(|path| !seen.contains_key(*path)).collect();
    assert!(
        wrong.is_empty() && missing.is_empty(),
        "after {number} commits {wrong:?} is wrong, {missing:?} is missing"
    );
    // As a prune does: a cache whose disk had another number is gone.
    sweep(&Home::at(&place.home)).unwrap();
    assert_eq!(fixture::left(&place.home), [""; 0]);
    number
}

/// The commit of this number. Some are made while another build reads: what they replace and delete waits.
fn make(place: &Place, number: u64) {
    let lease = place.lease(LockMode::Shared);
    let reader = trace::has_a_reader(number).then(|| place.lease(LockMode::Shared));
    let staged = stage(&lease, &trace::stream(number)[..], CommitLimit::default()).unwrap();
    let Outcome::Staged(staged) = staged else { panic!("there is something new") };
    let kept = commit(&lease, *staged, lease.lock_commits().unwrap()).unwrap();
    assert_eq!(kept.waiting > 0, reader.is_some() && number > 1, "commit {number}: {kept:?}");
    say(&format!("kept {number}"));
    drop(reader);
    finish(&lease).unwrap();
}

/// Tells the host; on return it has heard it.
fn say(text: &str) {
    let mut out = std::io::stdout();
    // Where libtest was in a line.
    out.write_all(format!("\n{SAYS}{text}\n").as_bytes()).unwrap();
    out.flush().unwrap();
    tcdrain(out).unwrap();
}
