//! The cache directory of the host, as a transaction. Three floors, of which each knows only those below:
//!
//! * [`dir`] opens, walks, locks and removes files beneath a directory. It knows nothing of a cache.
//! * [`txn`] is the transaction: stage, journal, merge, recovery, scrub.
//! * Above them lie leases, reports, prune, verify, export and import. [`acquire()`] begins and ends each use of a cache.
//!
//! All that depends on a tool is in [`crate::ecosystem`].
//!
//! ```text
//! acquire (shared or exclusive; waits) -> recover what earlier commits left -> the build runs on it
//!   mode commit: stream --stage--> <cache>/.kiln/<home>-<random> --flush--> journal --merge--> <cache> -> journal forgets
//! finish: what waited for the last lease is merged
//! ```
//!
//! **A lease** ([`lease`]) is an open file description lock on a file of kiln's home, keyed by the directory's device and
//! inode. It ends with the last descriptor, so that the daemons of a killed build keep it while they live, and no longer.
//! Leases are given out in the order of arrival. Commits exclude each other by a second lock, which is held shortly.
//!
//! **A commit** passes four states; a crash in any of them is harmless:
//!
//! | state | what there is | durable | after a crash |
//! |---|---|---|---|
//! | staging | `.kiln/<name>`, and a lock of its maker | nothing need be | the lock is free and the journal silent: removed |
//! | staged | the same, flushed | the new entries | the same |
//! | decided | a record in the journal names it | the commit | merged by the next lease |
//! | merged | the entries are in their place, flushed | all | the record is forgotten, the rest removed |
//!
//! A decided commit that cannot be finished, because another program has changed `.kiln` or the journal, is one of
//! [`txn::stuck_commits`]: each lease warns of it until it is given up.
//!
//! kiln reports "kept" after the third state. The merge ([`txn::merge`]) renames staged entries, so that a second merge does
//! what the first has left: no file is edited in place, a new directory appears with all its entries, and a file is replaced
//! by one rename. While there is another lease only new names appear. Deletions and replacements wait, decided and durable,
//! in journal and staging directory, until a holder finds no other lease.
//!
//! When the host is started again its devices may get other numbers, and the cache another key: then the records are found
//! by their staging directories ([`rekey`]). Nothing here relies on the order in which a file system writes data that was not
//! flushed.
//!
//! **Conflicts.** A build has seen the cache as it was when its lease began, while no commit was under way. It never deletes
//! an entry that another commit has put there since: a merge renews the times of all that it moves ([`dir::ctime`]), however
//! long ago that was staged. If both have written a path, the rule of its tool decides ([`crate::ecosystem`]).
//!
//! **Maintenance.** A prune and a repair are commits that only delete, under an exclusive lease; an import is a commit of an
//! archive.
//!
//! **Writes that go straight through.** A build in mode `rw` leaves a note in kiln's home before it begins ([`writers`]). At
//! its end, or when the next lease finds the note of a build that was killed, the changed entries lose rights and foreign
//! owners ([`txn::scrub`]).
//!
//! **Trust.** The stream comes from a guest, and in mode `rw` a guest writes into the directory itself, `.kiln` included. So
//! all access goes through [`dir`]; sizes, depth and numbers are bounded; set-id bits and devices are not kept; and recovery
//! follows only names of the journal, which no guest can write.

mod acquire;
mod commit;
mod dir;
mod discarded;
mod downloads;
mod export;
mod host_import;
mod lease;
mod lease_table;
mod preflight;
mod prune;
mod rekey;
mod report;
mod reused;
mod summary;
mod sweep;
mod txn;
mod verify;
mod writers;

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf, absolute},
};

use anyhow::Context;
use nix::unistd::geteuid;

use crate::exit::{Code, Failure};

pub use acquire::{acquire, finish, private, try_acquire};
pub use commit::commit;
pub use dir::lock::LockMode;
pub use discarded::{Discarded, discarded};
pub use downloads::{discard, sweep_downloads};
pub use export::{Chosen, export, import};
pub use host_import::{Change, Identity, commit_files, link_git_packs, linked_git_packs};
pub use lease::{CARE, Lease, Request, UPDATE};
pub use lease_table::known;
pub use preflight::{apart, mountable, writable};
pub use prune::{Entry, Inventory, Pruned, Wanted, inventory, named, prune, would_prune};
pub use report::{Growth, WriteOutcome, report, written};
pub use reused::{ReadUsage, Reused, Unclear};
pub use summary::{Usage, held, renew};
pub use sweep::{sweep, sweep_private};
pub use txn::{
    category::{SOURCES, TOP},
    commit::Kept,
    commit_lock::{CommitGuard, CommitLock},
    open_cache::OpenCache,
    persistent_dirs::remove_unused,
    scrub::Scrubbed,
    stage::{CommitLimit, LeftOut, Outcome, Staged, stage},
    usage_delta::Amounts,
};
pub use verify::{Fault, Verdict, verify};

/// The directory that `--cache-dir` names, absolute and existing; `None` for "".
///
/// # Errors
/// A cache failure (7) when it is a file, or cannot be made.
pub fn directory(written: &str) -> anyhow::Result<Option<PathBuf>> {
    let path = locate(written)?;
    path.as_deref().map_or(Ok(()), create)?;
    Ok(path)
}

/// The directory that `--cache-dir` names, absolute and without links, whether it exists or not; `None` for "". Changes nothing.
///
/// # Errors
/// A cache failure (7) when it is a file, a link that leads nowhere, or cannot be read; a usage failure (2) for a `~` that
/// no shell has replaced.
pub fn locate(written: &str) -> anyhow::Result<Option<PathBuf>> {
    if written.is_empty() {
        return Ok(None);
    }
    let path = absolute(Path::new(written)).with_context(|| format!("resolve --cache-dir {written}"))?;
    if is_home_unexpanded(written) && !path.exists() {
        return Err(Failure::usage(
            format!("--cache-dir: {written} begins with `~`, which the shell has not replaced here"),
            "write `--cache-dir ~/...` with a space, or \"$HOME/...\"",
        )
        .into());
    }
    if path.is_dir() {
        let path = fs::canonicalize(&path).with_context(|| unusable(&path))?;
        fs::read_dir(&path).with_context(|| unusable(&path))?;
        return Ok(Some(path));
    }
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => Err(not_a_directory(&path, "a symbolic link that leads nowhere")),
        Ok(_) => Err(not_a_directory(&path, "not a directory")),
        Err(_) => Ok(Some(real_path(&path))),
    }
}

/// Makes the directory of [`locate`] if it is missing.
///
/// # Errors
/// A cache failure (7) when it cannot be made or read.
pub fn create(path: &Path) -> anyhow::Result<()> {
    make(path).with_context(|| unusable(path))?;
    fs::read_dir(path).with_context(|| unusable(path))?;
    Ok(())
}

/// Whether it begins with `~`. A shell does not replace the one of `--cache-dir=~/x`, since no word begins there.
fn is_home_unexpanded(written: &str) -> bool {
    written.starts_with('~')
}

/// A path that does not exist, with the links of the directories above resolved.
fn real_path(path: &Path) -> PathBuf {
    let found = path.ancestors().skip(1).find_map(|above| {
        let real = fs::canonicalize(above).ok()?;
        Some(real.join(path.strip_prefix(above).ok()?))
    });
    found.unwrap_or_else(|| path.to_owned())
}

fn not_a_directory(path: &Path, is: &str) -> anyhow::Error {
    let what = format!("--cache-dir: {} is {is}", path.display());
    Failure::new(Code::Cache, what, "name a directory, or \"\" for no cache").into()
}

/// Makes the directory, and those above it, durably.
///
/// Only root may enter a directory that root makes (0700): while a build writes straight into it, a set-id program may lie
/// there.
fn make(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|above| !above.exists()).count();
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mode = if geteuid().is_root() { 0o700 } else { 0o777 };
    match DirBuilder::new().mode(mode).create(path) {
        // Another process has made it at the same time.
        Err(_) if path.is_dir() => {}
        made => made?,
    }
    for parent in path.ancestors().skip(1).take(missing) {
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn unusable(path: &Path) -> Failure {
    Failure::new(
        Code::Cache,
        format!("--cache-dir: {} cannot be used", path.display()),
        "make it readable, or name another one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::code_of;

    #[test]
    fn a_missing_directory_is_made_and_links_are_followed() {
        let parent = tempfile::tempdir().expect("a directory can be made");
        let path = parent.path().join("a, b/c");
        let made = directory(path.to_str().expect("UTF-8")).expect("made").expect("not empty");
        assert!(made.is_dir());
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert_eq!(directory(link.to_str().expect("UTF-8")).expect("found"), Some(made));
    }

    #[test]
    fn a_directory_is_named_without_being_made() {
        let parent = tempfile::tempdir().expect("a directory can be made");
        let real = fs::canonicalize(parent.path()).expect("it exists");
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&real, &link).expect("linked");
        let written = link.join("a/b");
        let found = locate(written.to_str().expect("UTF-8")).expect("a name").expect("not empty");
        assert_eq!(found, real.join("a/b"));
        assert!(!real.join("a").exists());
        create(&found).expect("made");
        assert_eq!(locate(written.to_str().expect("UTF-8")).expect("a name"), Some(found));
    }

    #[test]
    fn a_dangling_link_and_a_tilde_say_what_they_are() {
        let parent = tempfile::tempdir().expect("a directory can be made");
        let link = parent.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("linked");
        let error = locate(link.to_str().expect("UTF-8")).expect_err("it leads nowhere");
        assert_eq!(code_of(&error), Code::Cache);
        assert!(error.to_string().ends_with("is a symbolic link that leads nowhere"), "{error}");
        for written in ["~/cache", "~", "~user/cache"] {
            assert_eq!(code_of(&locate(written).expect_err("not replaced")), Code::Usage, "{written}");
        }
    }

    #[test]
    fn a_file_is_an_error_of_the_cache_and_the_empty_name_is_none() {
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        let error = directory(file.path().to_str().expect("UTF-8")).expect_err("a file");
        assert_eq!(code_of(&error), Code::Cache);
        assert_eq!(directory("").expect("none"), None);
    }
}
