//! A commit that is killed, or refused something, at each of its system calls in turn; and its recovery likewise.
//!
//! After it the next start finds all of the commit in the cache or nothing of it, all where kiln had said so; every file
//! whole; no record, lock or staging directory left. A process that held a lease meanwhile saw no change of the files that
//! it may have been reading.

pub(crate) mod fixture;
mod prune;
mod tracee;

use kiln::{
    cache::{CommitLimit, LockMode, Outcome, commit, finish, stage, verify},
    exit::{Code, code_of, way_out_of},
};
use nix::errno::Errno;

use self::{
    fixture::{Fixture, Seen, Size},
    tracee::{Act, CAN_FAIL, End, run, say, traced},
};
use crate::{sampling::Sampler, skip::skip};

/// How many system calls are tried outside the soak, of the hundreds that each suite has.
const FEW: usize = 12;
/// The victim's message after its commit has returned.
const KEPT: &str = "kept";
/// Its message after its lease has returned.
const RECOVERED: &str = "recovered";

/// The other users of the cache when a commit is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    /// Another build reads it: deletions and replacements wait.
    Reader,
}

/// The victim of the tests below: one build's end.
#[test]
#[ignore = "not a test of its own"]
fn committer() {
    traced(|fixture| match commits(fixture) {
        Ok(()) => {}
        Err(error) => say(&error_text(&error)),
    });
}

fn commits(fixture: &Fixture) -> anyhow::Result<()> {
    let lease = fixture.lease(LockMode::Shared)?.expect("no process holds it alone");
    let staged = stage(&lease, &fixture.stream()[..], CommitLimit::default())?;
    let Outcome::Staged(staged) = staged else { panic!("there is something new") };
    commit(&lease, *staged, lease.lock_commits()?)?;
    say(KEPT);
    finish(&lease)
}

/// The victim of others: the next start.
#[test]
#[ignore = "not a test of its own"]
fn recoverer() {
    traced(|fixture| match fixture.lease(LockMode::Shared) {
        Ok(lease) => {
            drop(lease.expect("no process holds it alone"));
            say(RECOVERED);
        }
        Err(error) => say(&error_text(&error)),
    });
}

/// An error as the user sees it: exit code, way out, text.
fn error_text(error: &anyhow::Error) -> String {
    format!("error {} ({}): {error:#}", code_of(error) as u8, way_out_of(error).unwrap_or_default())
}

fn committer_on(fixture: &Fixture, act: impl FnMut(tracee::Call) -> Act) -> End {
    run("commit::committer", fixture, act)
}

fn recoverer_on(fixture: &Fixture, act: impl FnMut(tracee::Call) -> Act) -> End {
    run("commit::recoverer", fixture, act)
}

/// A commit without a disturbance: the cache before and after it, and its system calls.
struct Undisturbed {
    before: Seen,
    after: Seen,
    /// How many.
    calls: usize,
    /// The calls that a file system answers.
    about_files: Vec<usize>,
}

impl Undisturbed {
    fn watch(size: Size) -> Self {
        let fixture = Fixture::new(size);
        let before = fixture.seen();
        let mut about_files = Vec::new();
        let end = committer_on(&fixture, |call| {
            if CAN_FAIL && call.is_about_files() {
                about_files.push(call.number);
            }
            Act::Go
        });
        assert_eq!(end.said, [KEPT]);
        let after = fixture.seen();
        assert!(before.keys().any(|path| !after.contains_key(path)), "something is deleted");
        assert_eq!(fixture.left(), [""; 0]);
        Self { before, after, calls: end.calls, about_files }
    }

    /// Checks the cache after the next start: it has all of the commit or nothing of it.
    fn judge(&self, fixture: &Fixture, kept: bool, doing: &str) {
        let lease = fixture.alone(doing);
        let damage = verify(&lease).unwrap();
        assert_eq!(damage.faults, [], "{doing}");
        drop(lease);
        let seen = fixture.seen();
        let (nothing, all) = (seen == self.before, seen == self.after);
        assert!(all || (nothing && !kept), "{doing}; kept: {kept}\n{}", difference(&seen, self));
        assert_eq!(fixture.left(), [""; 0], "{doing}");
    }
}

fn difference(seen: &Seen, Undisturbed { before, after, .. }: &Undisturbed) -> String {
    let paths = seen.keys().chain(before.keys()).chain(after.keys());
    let mut lines: Vec<String> = paths
        .map(|path| {
            let [was, is, is_to_be] =
                [before, seen, after].map(|all| all.get(path).map_or("nothing", |what| what));
            format!("{}: was {was}, is {is}, is to be {is_to_be}", path.display())
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

fn is_kept(end: &End) -> bool {
    end.said.iter().any(|said| said == KEPT)
}

#[test]
fn a_commit_that_is_killed_at_any_system_call_is_all_or_nothing() {
    for (size, company) in
        [(Size::Few, Company::Alone), (Size::Few, Company::Reader), (Size::Many, Company::Alone)]
    {
        let whole = Undisturbed::watch(size);
        let (sampler, cases) = Sampler::of("commit kills", (1..=whole.calls).collect(), FEW);
        let mut kept = 0;
        for at in &cases {
            let doing = format!("{size:?}, {company:?}, killed at system call {at} of {}", whole.calls);
            let fixture = Fixture::new(size);
            let reader = match company {
                Company::Alone => None,
                Company::Reader => Some(fixture.lease(LockMode::Shared).unwrap().unwrap()),
            };
            let end = committer_on(&fixture, |call| if call.number == *at { Act::Kill } else { Act::Go });
            // The last ones are not reached when there are fewer this time.
            assert!(end.killed || is_kept(&end), "{doing}: {:?}", end.said);
            if let Some(reader) = reader {
                undisturbed(&fixture, &whole.before, &doing);
                drop(reader);
            }
            kept += usize::from(is_kept(&end));
            whole.judge(&fixture, is_kept(&end), &doing);
        }
        sampler
            .say(&format!("{size:?}, {company:?}: {} killed, {kept} after kiln said \"kept\"", cases.len()));
    }
}

/// The files and links that a reader had before it are still as they were; something may have been added to directories.
fn undisturbed(fixture: &Fixture, before: &Seen, doing: &str) {
    let seen = fixture.seen();
    for (path, what) in before.iter().filter(|(_, what)| !what.starts_with("directory")) {
        assert_eq!(seen.get(path), Some(what), "{doing}: {}", path.display());
    }
}

#[test]
fn a_recovery_of_a_commit_that_is_killed_at_any_system_call_is_finished_by_the_next() {
    for size in [Size::Few, Size::Many] {
        let whole = Undisturbed::watch(size);
        let decided = || {
            let fixture = Fixture::new(size);
            committer_on(&fixture, |_| if fixture.is_decided() { Act::Kill } else { Act::Go });
            assert!(fixture.is_decided());
            fixture
        };
        let undisturbed = recoverer_on(&decided(), |_| Act::Go);
        assert_eq!(undisturbed.said, [RECOVERED]);
        let (sampler, cases) = Sampler::of("commit recoveries", (1..=undisturbed.calls).collect(), FEW);
        for at in &cases {
            let fixture = decided();
            let end = recoverer_on(&fixture, |call| if call.number == *at { Act::Kill } else { Act::Go });
            let doing = format!("{size:?}: recovery killed at system call {at} of {}", undisturbed.calls);
            assert!(end.killed || end.said == [RECOVERED], "{doing}: {:?}", end.said);
            whole.judge(&fixture, true, &doing);
        }
        sampler.say(&format!("{size:?}: {} recoveries killed", cases.len()));
    }
}

#[test]
fn a_commit_that_is_refused_any_system_call_says_what_to_do_and_loses_nothing() {
    if !CAN_FAIL {
        return skip("system calls can be made to fail on x86-64 only");
    }
    let errors = [Errno::ENOSPC, Errno::EIO, Errno::EDQUOT];
    for size in [Size::Few, Size::Many] {
        let whole = Undisturbed::watch(size);
        let (sampler, cases) = Sampler::of("commit errors", whole.about_files.clone(), FEW);
        let mut failed = 0;
        for at in &cases {
            let fixture = Fixture::new(size);
            let errno = errors[at % errors.len()];
            let end =
                // Another call may have this number this time.
                committer_on(&fixture, |call| match call.number == *at && call.is_about_files() {
                    true => Act::Fail(errno),
                    false => Act::Go,
                });
            let doing = format!("{size:?}: {errno} at system call {at}: {:?}", end.said);
            let error = end.said.iter().find(|said| said.starts_with("error "));
            assert!(is_kept(&end) || error.is_some(), "{doing}: neither kept nor an error");
            if let Some(error) = error {
                failed += 1;
                tells_what_to_do(error, &doing);
            }
            whole.judge(&fixture, is_kept(&end), &doing);
        }
        assert!(failed > 0 || cases.len() <= FEW, "{size:?}: no commit failed");
        sampler.say(&format!("{size:?}: {} calls refused, {failed} commits failed", cases.len()));
    }
}

/// An error of the cache or of kiln's own directory, with a way out and what the system said.
fn tells_what_to_do(error: &str, doing: &str) {
    let ours = [Code::Cache, Code::Host].map(|code| format!("error {} (", code as u8));
    assert!(ours.iter().any(|start| error.starts_with(start)), "{doing}");
    assert!(!error.contains(" (): "), "{doing}: no way out");
}
