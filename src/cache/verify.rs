//! Whether a cache is whole: what is named after its content, or has its checksum beside it, is read and compared; what was
//! left half-written, is in the way or belongs to somebody else is found.
//!
//! ```text
//! walk --content (is it what it says?), state (whose, what kind, is it finished?)--> faults --mend (an exclusive lease)--> gone
//! ```
//!
//! FileType earlier commits left has been finished when the lease was taken. Mending removes an entry whole, so that its tool
//! fetches it again. git is not asked: objects and packs bear their hashes, while its own `fsck` walks all of a history,
//! in repositories whose settings a guest may have written.

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

/// FileType is wrong with something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it lies: in the cache, but for records.
    pub path: Vec<u8>,
    /// In words.
    pub why: String,
    /// Whether that is over.
    pub repaired: bool,
    remedy: Remedy,
}

/// FileType mends a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The entry that it belongs to goes.
    Entry,
    /// It goes, and nothing else.
    Itself,
    /// It is given to the owner of the cache.
    Owner,
    /// Set-id bits and harmful attributes go.
    Rights,
    /// The commit is given up.
    Record,
    /// Whoever knows that nobody needs it removes it.
    Nobody,
}

/// FileType was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// How many files were compared with what their names or their neighbours say.
    pub compared: u64,
    /// FileType is wrong.
    pub faults: Vec<Fault>,
    /// FileType a tool or a build began and did not finish: no harm, but of no use. Said only when nobody else uses the cache.
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

/// Looks at everything. Under an exclusive lease what is wrong is mended.
pub fn verify(lease: &Lease) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let owners = Owners::of(&lease.root)?;
    let look = |found: &Found<'_>| {
        look(lease, &owners, found, &mut verdict)?;
        Ok(ControlFlow::Continue(()))
    };
    walk(&lease.root, look).context("look through the cache")?;
    staged(lease, &mut verdict)?;
    if lease.lock_mode() == LockMode::Exclusive {
        repair(lease, &owners, &mut verdict)?;
    } else if !lease.alone(Ok)? {
        // FileType others are writing at this moment looks like that.
        verdict.leftovers.clear();
    }
    Ok(verdict)
}

/// FileType lies in `.kiln`, and the journal that speaks of it.
fn staged(lease: &Lease, verdict: &mut Verdict) -> Result<()> {
    let fault = |path, why: &str, remedy| Fault { path, why: why.into(), repaired: false, remedy };
    for entry in foreign_entries::of(lease)? {
        match entry {
            ForeignEntry::Unknown(path) => {
                verdict.faults.push(fault(path, "kiln puts no such thing there", Remedy::Itself));
            }
            ForeignEntry::OtherHome(path) => {
                let why = "it is of a kiln with another home, and of no use when that is gone";
                verdict.leftovers.push(fault(path, why, Remedy::Nobody));
            }
        }
    }
    let journal = Journal::of(lease)?;
    // Meanwhile none of them is finished.
    let _turn = lease.lock_commits()?;
    for (StuckCommit { why, .. }, record) in stuck_commits::of(lease, &journal)? {
        let why = format!("a commit that cannot be finished: {why}");
        verdict.records.push(fault(record.into_os_string().into_vec(), &why, Remedy::Record));
    }
    verdict.waiting = journal.pending()?.len() - verdict.records.len();
    Ok(())
}

fn look(lease: &Lease, owners: &Owners, found: &Found<'_>, verdict: &mut Verdict) -> Result<()> {
    let fault = |why: String, remedy| Fault { path: found.path.to_vec(), why, repaired: false, remedy };
    if found.what != FileType::Directory
        && ecosystem::persistent_directories().any(|path| path.as_bytes() == found.path)
    {
        let why = "every build has a directory there".into();
        verdict.faults.push(fault(why, Remedy::Itself));
        return Ok(());
    }
    for state in state::of(found, owners)? {
        match state {
            // Said once for all that lies below.
            State::Unfinished
                if verdict.leftovers.last().is_some_and(|last| is_below(found.path, &last.path)) =>
            {
                return Ok(());
            }
            State::Unfinished => {
                verdict.leftovers.push(fault("it was never finished".into(), Remedy::Itself));
                return Ok(());
            }
            // Git would obey settings and follow links, if it ever ran there.
            State::Stray => {
                if !verdict.faults.last().is_some_and(|last| is_below(found.path, &last.path)) {
                    verdict
                        .faults
                        .push(fault("git-checkout puts no such thing there".into(), Remedy::Itself));
                }
                return Ok(());
            }
            State::Strange => {
                let why = "it is a device, a fifo or a socket".into();
                verdict.faults.push(fault(why, Remedy::Itself));
            }
            State::Foreign(uid) => {
                verdict.faults.push(fault(format!("it belongs to user {uid}"), Remedy::Owner));
            }
            State::SetId => verdict.faults.push(fault("it has a set-id bit".into(), Remedy::Rights)),
            State::Attribute(name) => {
                let why = format!("it has the extended attribute {}", name.display());
                verdict.faults.push(fault(why, Remedy::Rights));
            }
        }
    }
    if found.unseen {
        let why = "what it holds lies too deep to be looked at".into();
        verdict.faults.push(fault(why, Remedy::Itself));
    }
    if found.what != FileType::File {
        return Ok(());
    }
    let Ok(path) = std::str::from_utf8(found.path) else { return Ok(()) };
    match ecosystem::verify(&lease.root, path).with_context(|| format!("verify {path:?}"))? {
        Content::Unknown => {}
        Content::Right => verdict.compared += 1,
        Content::Wrong(why) => {
            verdict.compared += 1;
            verdict.faults.push(fault(why, Remedy::Entry));
        }
    }
    Ok(())
}

fn repair(lease: &Lease, owners: &Owners, verdict: &mut Verdict) -> Result<()> {
    let damaged = |fault: &&Fault| fault.remedy == Remedy::Entry;
    let paths = verdict.faults.iter().filter(damaged).map(|fault| &*fault.path);
    // All that what is damaged lies in: an entry whose root is one of them goes.
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
            Ok(()) => fault.remedy != Remedy::Nobody,
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
        // Done for all at once.
        Remedy::Entry | Remedy::Nobody | Remedy::Record => Ok(()),
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
