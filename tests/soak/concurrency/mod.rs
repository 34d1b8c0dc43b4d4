//! Many builds on one cache: killed at random moments, or eight at once in each mode and in all backends.
//!
//! Afterwards no entry is half or damaged, no lock stale, no commit staged; the builds that kiln called kept are there; and each
//! build that commits is there with all of its changes or with none.

mod build;
mod oracle;

use std::{
    collections::BTreeSet,
    fs,
    num::NonZero,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, available_parallelism},
    time::{Duration, Instant},
};

use kiln::{
    cache::{LockMode, Request, acquire, verify},
    event::Event,
    home::Home,
};
use nix::unistd::geteuid;

use self::{
    build::{Backend, Ended, Mode, Running, Victim},
    oracle::{Found, Oracle, prepare},
};
use crate::{
    place::Place,
    process_tree::{self, Member},
    sampling::Sampler,
    skip::skip,
};

/// How many builds are killed in the soak: mostly in sandboxes, which are quick to start.
const KILLS: [(Backend, usize); 5] = [
    (Backend::Bubblewrap, 160),
    (Backend::Docker, 40),
    (Backend::NineP, 30),
    (Backend::Virtiofs, 30),
    (Backend::Embedded, 40),
];
/// How many are killed otherwise.
const FEW_KILLS: usize = 6;
/// How many use the cache at once when they are killed: few enough that most of their time is not spent waiting.
const TOGETHER: usize = 4;

/// How many rounds of eight builds there are in the soak.
const ROUNDS: usize = 20;
/// How many there are otherwise.
const FEW_ROUNDS: usize = 1;
/// Every so manieth round is shared with the other backends.
const MIXED: usize = 4;

/// How long a daemon whose kiln is dead may take to close what it has open: the lease is its own for so long.
const DEATH: Duration = Duration::from_secs(20);

/// A cache, and what is known of those that used it.
struct SharedCache {
    place: Place,
    names: BTreeSet<String>,
    /// Those whose work must be there, for good.
    kept: BTreeSet<String>,
    /// Processes that were seen before a kill.
    known: Vec<Member>,
    /// Whether a build that writes straight through was killed: a file that all builds write may be half.
    spoilt: bool,
}

impl SharedCache {
    fn of(place: Place) -> Self {
        fs::create_dir(place.project().join("cache")).unwrap();
        place.give_to_user(&place.project().join("cache"));
        Self { place, names: BTreeSet::new(), kept: BTreeSet::new(), known: Vec::new(), spoilt: false }
    }

    fn cache(&self) -> PathBuf {
        self.place.project().join("cache")
    }

    /// Starts a build.
    fn start(&mut self, backend: Backend, mode: Mode) -> Running {
        let name = format!("build-{}", self.names.len());
        for made in prepare(&self.cache(), &name) {
            self.place.give_to_user(&made);
        }
        self.names.insert(name.clone());
        Running::start(&self.place, name, backend, mode)
    }

    /// Waits for the end of builds and of all that they have started, and judges.
    fn judge(&mut self, running: Vec<Running>) -> Vec<Ended> {
        self.known.extend(process_tree::members(&self.place));
        let ended: Vec<Ended> = running.into_iter().map(Running::end).collect();
        let left = process_tree::survivors(&self.place, std::mem::take(&mut self.known));
        assert!(left.is_empty(), "{left:?}");
        self.next_start();
        let oracle = Oracle::of(self.cache());
        for build in &ended {
            self.judge_one(&oracle, build);
        }
        for name in &self.kept {
            assert_eq!(oracle.found(name), Found::All, "{name} was kept, and is lost");
        }
        oracle.assert_shared(&self.names, self.spoilt);
        ended
    }

    fn judge_one(&mut self, oracle: &Oracle, build: &Ended) {
        let Ended { name, mode, succeeded, kept, .. } = build;
        match mode {
            Mode::Commit => {
                let found = oracle.found(name);
                assert!(found == Found::All || !*kept, "{build} was kept, and is lost");
                assert!(*kept || !*succeeded, "{build}");
                if found == Found::All {
                    self.kept.insert(name.clone());
                }
            }
            Mode::Discard | Mode::ReadOnly => assert_eq!(oracle.found(name), Found::Nothing, "{build}"),
            Mode::Through if *succeeded => {
                assert_eq!(oracle.found(name), Found::All, "{build}");
                self.kept.insert(name.clone());
            }
            Mode::Through => self.spoilt = true,
        }
    }

    /// Another kiln looks: it has to wait for none but a daemon that is just dying, and finds nothing wrong; then nothing is left of those before.
    fn next_start(&self) {
        let verified = self.place.kiln().args(["cache", "verify", "--cache-dir", "cache"]).output().unwrap();
        let said = [verified.stdout, verified.stderr].concat();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&said));
        let home = self.place.root().join("home");
        let request = Request {
            directory: fs::canonicalize(self.cache()).unwrap(),
            lock_mode: LockMode::Exclusive,
            who: "a test".into(),
            limit: DEATH,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let home_of_kiln = Home::at(&home);
        let lease = runtime.block_on(acquire(&home_of_kiln, request, &mut |_: Event| {}));
        let lease = lease.unwrap_or_else(|error| {
            panic!("a stale lock: {error:#}: {:?}", process_tree::with_open(&home.join("leases")))
        });
        assert_eq!(verify(&lease).unwrap().faults, []);
        drop(lease);
        for directory in ["leases/*/holders", "journals/*", "staging"] {
            let left = entries(&home, directory);
            assert!(left.is_empty(), "{directory}: {left:?}");
        }
    }
}

/// The entries of a directory; `*` stands for every name.
fn entries(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    for part in pattern.split('/') {
        found = match part {
            "*" => found.iter().flat_map(|path| list(path)).collect(),
            name => found.iter().map(|path| path.join(name)).collect(),
        };
    }
    found.iter().flat_map(|path| list(path)).collect()
}

fn list(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn is_there(backend: Backend) -> bool {
    let answers = |program: &str, argument: &str| {
        let asked = Command::new(program).arg(argument).stdin(Stdio::null()).output();
        asked.is_ok_and(|output| output.status.success())
    };
    let there = match backend {
        Backend::Bubblewrap => answers("bwrap", "--version"),
        Backend::Docker => answers("docker", "info"),
        Backend::NineP | Backend::Virtiofs | Backend::Embedded => answers("qemu-system-x86_64", "--version"),
    };
    if !there {
        skip(&format!("{backend:?} is not there"));
    }
    there
}

#[test]
fn the_cache_is_whole_after_any_kill() {
    for (backend, count) in KILLS {
        let few = if backend == Backend::Bubblewrap { FEW_KILLS } else { 0 };
        // Two thirds are kiln itself.
        let cases = (0..count).map(|n| if n % 3 == 2 { Victim::Child } else { Victim::Kiln }).collect();
        let (mut sampler, cases) = Sampler::of("concurrency kills", cases, few);
        if !cases.is_empty() && is_there(backend) {
            killed(backend, &cases, &mut sampler);
        }
    }
}

fn killed(backend: Backend, cases: &[Victim], sampler: &mut Sampler) {
    let mut shared = SharedCache::of(Place::new());
    // The first one makes what is made once; the second tells how long several may take.
    let mut whole = Duration::ZERO;
    let at_once = (TOGETHER / available_parallelism().map_or(1, NonZero::get)).max(1) as u32;
    for _ in 0..2 {
        let started = Instant::now();
        let alone = shared.start(backend, Mode::Commit);
        let alone = shared.judge(vec![alone]);
        assert!(alone[0].succeeded, "{}", alone[0]);
        whole = started.elapsed() * at_once;
    }
    let mut kills = 0;
    while kills < cases.len() {
        let started = Instant::now();
        let mut running: Vec<Running> = (0..TOGETHER).map(|_| shared.start(backend, Mode::Commit)).collect();
        let mut moments: Vec<(Duration, usize)> =
            (0..TOGETHER).map(|at| (sampler.moment(Duration::ZERO..whole), at)).collect();
        moments.sort();
        for (moment, at) in moments {
            thread::sleep(moment.saturating_sub(started.elapsed()));
            if let Some(victim) = cases.get(kills) {
                // The reaper of a dead kiln cannot be found any more.
                shared.known.extend(process_tree::members(&shared.place));
                kills += usize::from(running[at].kill(*victim, sampler));
            }
        }
        let ended = shared.judge(running);
        if ended.iter().any(|build| build.succeeded) {
            whole = started.elapsed();
        } else {
            // All were met early: later moments are of more interest.
            whole += whole / 4;
        }
        sampler.say(&format!(
            "{backend:?}: {kills} of {} killed, {} builds kept",
            cases.len(),
            shared.kept.len()
        ));
    }
}

/// How an ordinary user's rounds are counted in the soak; elsewhere there is none, since a home is copied for them.
const ROUNDS_OF_A_USER: usize = 2;

#[test]
fn what_an_ordinary_users_builds_commit_belongs_to_that_user() {
    let (sampler, rounds) = Sampler::of("concurrency user", (0..ROUNDS_OF_A_USER).collect(), 0);
    if rounds.is_empty() || !is_there(Backend::Bubblewrap) {
        return;
    }
    if !geteuid().is_root() {
        return skip("only root can run kiln as another user");
    }
    let mut shared = SharedCache::of(Place::of_ordinary_user());
    for round in rounds {
        let running = (0..8).map(|_| shared.start(Backend::Bubblewrap, Mode::Commit)).collect();
        for build in shared.judge(running) {
            assert!(build.succeeded, "{build}");
        }
        assert_owned(shared.place.uid(), &shared.cache());
        sampler.say(&format!("round {round}: {} builds kept so far", shared.kept.len()));
    }
}

/// All of a tree is one user's.
fn assert_owned(uid: u32, path: &Path) {
    let metadata = path.symlink_metadata().unwrap();
    assert_eq!(metadata.uid(), uid, "{}", path.display());
    if metadata.is_dir() {
        list(path).iter().for_each(|path| assert_owned(uid, path));
    }
}

#[test]
fn eight_builds_at_once_keep_all_that_they_are_to_keep() {
    let (mut sampler, rounds) = Sampler::of("concurrency rounds", (0..ROUNDS).collect(), FEW_ROUNDS);
    if !is_there(Backend::Bubblewrap) {
        return;
    }
    let soak = rounds.len() > FEW_ROUNDS;
    let mut shared = SharedCache::of(Place::new());
    for (n, round) in rounds.iter().enumerate() {
        let running: Vec<Running> = (0..8)
            .map(|at| {
                let backend = match (soak && round % MIXED == 0, at) {
                    (true, 1) if is_there(Backend::Docker) => Backend::Docker,
                    (true, 2) if is_there(Backend::NineP) => Backend::NineP,
                    (true, 3) if is_there(Backend::Virtiofs) => Backend::Virtiofs,
                    (true, 4) if is_there(Backend::Embedded) => Backend::Embedded,
                    _ => Backend::Bubblewrap,
                };
                let mode = match sampler.below(8) {
                    5 => Mode::Discard,
                    6 => Mode::ReadOnly,
                    // By 9p nothing is written through.
                    7 if backend != Backend::NineP => Mode::Through,
                    _ => Mode::Commit,
                };
                shared.start(backend, mode)
            })
            .collect();
        let started = Instant::now();
        for build in shared.judge(running) {
            assert!(build.succeeded, "{build}");
        }
        sampler.say(&format!(
            "{} of {}: eight ended within {:.1?}, {} builds kept so far",
            n + 1,
            rounds.len(),
            started.elapsed(),
            shared.kept.len()
        ));
    }
}
