//! Verifies a cache: compares the files whose name, index or checksum says what they hold, and finds entries that are
//! half-written, in the way, or another user's.
//!
//! ```text
//! walk --content (is it what it says?), state (owner, type, is it finished?)--> faults --repair (an exclusive lease)--> gone
//! ```
//!
//! Earlier commits have been completed when the lease was taken. A repair removes a damaged entry whole, so that its tool
//! fetches it again. `git fsck` is not used: objects and packs bear their hashes, and it would walk whole histories, in
//! repositories whose settings a guest may have written.

mod files;
mod state;

use std::{
    collections::HashSet,
    ffi::OsStr,
    ops::ControlFlow,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use anyhow::{Context, Result};

use self::state::State;
use super::{
    dir::{FileType, ancestors, is_below, lock::LockMode, remove, split, walk::Found},
    lease::Lease,
    prune,
    txn::{
        contents::walk,
        foreign_entries::{self, ForeignEntry},
        journal::Journal,
        owners::Owners,
        scrub,
        stuck_commits::{self, StuckCommit},
    },
};
use crate::ecosystem::{self, Content};

/// A fault of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path in the cache; that of a record is in kiln's home.
    pub path: Vec<u8>,
    /// The fault, in words.
    pub why: String,
    /// Whether it has been repaired.
    pub repaired: bool,
    remedy: Remedy,
}

/// How a fault is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The whole entry that the path belongs to is removed.
    Entry,
    /// Only the path itself is removed.
    Itself,
    /// It is given to the owner of the cache.
    Owner,
    /// Set-id bits and harmful attributes are removed.
    Rights,
    /// The commit is given up.
    Record,
    /// Not at all: only the user knows whether it is still needed.
    None,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// How many files were compared with their name, index or checksum.
    pub compared: u64,
    /// All faults.
    pub faults: Vec<Fault>,
    /// Entries that a tool or a build has not finished: harmless and useless. Empty if there are other leases.
    pub leftovers: Vec<Fault>,
    /// How many commits are decided and wait for other users of the cache.
    pub waiting: usize,
    /// Commits that were decided and cannot be finished, by their records in kiln's home.
    pub records: Vec<Fault>,
}

impl Verdict {
    /// How many faults are left.
    pub fn unrepaired(&self) -> usize {
        self.faults.iter().chain(&self.records).filter(|fault| !fault.repaired).count()
    }
}

/// What is needed to look at an entry.
struct Verification<'a> {
    lease: &'a Lease,
    owners: Owners,
    /// Paths at which every build has a directory.
    persistent: Vec<String>,
}

/// Verifies the whole cache. Under an exclusive lease the faults are repaired.
pub fn verify(lease: &Lease) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let verification = Verification {
        lease,
        owners: Owners::of(&lease.root)?,
        persistent: ecosystem::persistent_directories().collect(),
    };
    let look = |found: &Found<'_>| {
        verification.look(found, &mut verdict)?;
        Ok(ControlFlow::Continue(()))
    };
    walk(&lease.root, look).context("look through the cache")?;
    staged(lease, &mut verdict)?;
    if lease.lock_mode() == LockMode::Exclusive {
        repair(lease, &verification.owners, &mut verdict)?;
    } else if !lease.alone(Ok)? {
        // Other users may be writing them at this moment.
        verdict.leftovers.clear();
    }
    Ok(verdict)
}

/// Verifies `.kiln` and the journal.
fn staged(lease: &Lease, verdict: &mut Verdict) -> Result<()> {
    let fault = |path, why: &str, remedy| Fault { path, why: why.into(), repaired: false, remedy };
    for entry in foreign_entries::of(lease)? {
        match entry {
            ForeignEntry::Unknown(path) => {
                verdict.faults.push(fault(path, "kiln puts no such thing there", Remedy::Itself));
            }
            ForeignEntry::OtherHome(path) => {
                let why = "it is of a kiln with another home, and of no use when that is gone";
                verdict.leftovers.push(fault(path, why, Remedy::None));
            }
        }
    }
    let journal = Journal::of(lease)?;
    // No commit is completed meanwhile.
    let _turn = lease.lock_commits()?;
    for (StuckCommit { why, .. }, record) in stuck_commits::of(lease, &journal)? {
        let why = format!("a commit that cannot be finished: {why}");
        verdict.records.push(fault(record.into_os_string().into_vec(), &why, Remedy::Record));
    }
    verdict.waiting = journal.pending()?.len() - verdict.records.len();
    Ok(())
}

impl Verification<'_> {
    fn look(&self, found: &Found<'_>, verdict: &mut Verdict) -> Result<()> {
        let is_persistent = || self.persistent.iter().any(|path| path.as_bytes() == found.path);
        if found.file_type != FileType::Directory && is_persistent() {
            let why = "every build has a directory there";
            verdict.faults.push(fault(found, why, Remedy::Itself));
            return Ok(());
        }
        for state in state::of(found, &self.owners)? {
            if add_state(found, state, verdict).is_break() {
                return Ok(());
            }
        }
        if found.unseen {
            verdict.faults.push(fault(found, "what it holds lies too deep to be looked at", Remedy::Itself));
        }
        if found.file_type == FileType::File { self.compare(found, verdict) } else { Ok(()) }
    }

    /// Compares a file with the content that its name, index or checksum promises.
    fn compare(&self, found: &Found<'_>, verdict: &mut Verdict) -> Result<()> {
        let Ok(path) = std::str::from_utf8(found.path) else { return Ok(()) };
        match ecosystem::verify(&self.lease.root, path).with_context(|| format!("verify {path:?}"))? {
            Content::Unknown => {}
            Content::Right => verdict.compared += 1,
            Content::Wrong(why) => {
                verdict.compared += 1;
                verdict.faults.push(fault(found, why, Remedy::Entry));
            }
        }
        Ok(())
    }
}

/// Adds a fault that shows without reading the entry. Breaks off if nothing else of the entry matters.
fn add_state(found: &Found<'_>, state: State, verdict: &mut Verdict) -> ControlFlow<()> {
    // Reported once for all entries below.
    let is_below_last = |faults: &[Fault]| faults.last().is_some_and(|last| is_below(found.path, &last.path));
    let (why, remedy) = match state {
        State::Unfinished => {
            if !is_below_last(&verdict.leftovers) {
                verdict.leftovers.push(fault(found, "it was never finished", Remedy::Itself));
            }
            return ControlFlow::Break(());
        }
        // A git that ran there would obey settings and follow links.
        State::Misplaced => {
            if !is_below_last(&verdict.faults) {
                verdict.faults.push(fault(found, "git-checkout puts no such thing there", Remedy::Itself));
            }
            return ControlFlow::Break(());
        }
        State::SpecialFile => ("it is a device, a fifo or a socket".into(), Remedy::Itself),
        State::Foreign(uid) => (format!("it belongs to user {uid}"), Remedy::Owner),
        State::SetId => ("it has a set-id bit".into(), Remedy::Rights),
        State::Attribute(name) => {
            (format!("it has the extended attribute {}", name.display()), Remedy::Rights)
        }
    };
    verdict.faults.push(fault(found, why, remedy));
    ControlFlow::Continue(())
}

fn fault(found: &Found<'_>, why: impl Into<String>, remedy: Remedy) -> Fault {
    Fault { path: found.path.to_vec(), why: why.into(), repaired: false, remedy }
}

fn repair(lease: &Lease, owners: &Owners, verdict: &mut Verdict) -> Result<()> {
    let damaged = |fault: &&Fault| fault.remedy == Remedy::Entry;
    let paths = verdict.faults.iter().filter(damaged).map(|fault| &*fault.path);
    // The damaged paths and all directories above: an entry with one of these as its root is removed.
    let around: HashSet<&[u8]> = paths.flat_map(ancestors).collect();
    if !around.is_empty() {
        let mut entries = prune::entries(&lease.root)?;
        entries.retain(|entry| entry.paths.iter().any(|root| around.contains(&root[..])));
        prune::remove(lease, &entries).context("remove what is damaged")?;
    }
    for fault in verdict.faults.iter_mut().chain(&mut verdict.leftovers) {
        let shown = Path::new(OsStr::from_bytes(&fault.path)).display();
        let repaired = repair_one(lease, owners, fault);
        fault.repaired = match repaired {
            Ok(()) => fault.remedy != Remedy::None,
            Err(error) => {
                tracing::warn!(path = %shown, error = %format!("{error:#}"), "cannot be mended");
                false
            }
        };
    }
    if !verdict.records.is_empty() {
        let _turn = lease.lock_commits()?;
        stuck_commits::give_up(lease, &Journal::of(lease)?)?;
        verdict.records.iter_mut().for_each(|record| record.repaired = true);
    }
    Ok(())
}

fn repair_one(lease: &Lease, owners: &Owners, fault: &Fault) -> Result<()> {
    let (directory, name) = split(&fault.path);
    let Some(parent) = lease.root.dir(directory)? else { return Ok(()) };
    match fault.remedy {
        // All at once, in `repair`; or not at all.
        Remedy::Entry | Remedy::None | Remedy::Record => Ok(()),
        Remedy::Itself => Ok(remove::forced(&parent, name)?),
        Remedy::Owner => owners.give(&parent, name),
        Remedy::Rights => Ok(scrub::disarm(&parent, name, 0).map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::dir::BeneathDir;

    #[test]
    fn a_file_that_goes_meanwhile_is_no_fault() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = BeneathDir::open(directory.path()).expect("opened");
        let hash = "0".repeat(40);
        for path in [
            format!("git/x/objects/00/{}", &hash[2..]),
            format!("git/x/objects/pack/pack-{hash}.pack"),
            format!("sha256:{hash}"),
            format!("npm/_cacache/content-v2/sha1/00/00/{}", &hash[4..]),
        ] {
            assert_eq!(ecosystem::verify(&cache, &path).expect("looked"), Content::Unknown, "{path}");
        }
        std::fs::create_dir_all(directory.path().join("m2repository/a/1")).expect("made");
        std::fs::write(directory.path().join("m2repository/a/1/a-1.jar.sha1"), &hash).expect("written");
        let jar = ecosystem::verify(&cache, "m2repository/a/1/a-1.jar").expect("looked");
        assert_eq!(jar, Content::Unknown);
    }
}
