//! The cache directory of the host, as a transaction: leases, commits, and what is known of its content.
//!
//! ```text
//! acquire (shared or exclusive; waits) -> recover what earlier commits left -> the build runs on it
//!   mode commit: stream --stage--> <cache>/.kiln/<home>-<random> --flush--> journal --merge--> <cache> -> journal forgets
//! release: what waited for the last lease is merged
//! ```
//!
//! **A lease** ([`lease`]) is an open file description lock on a file of kiln's home, keyed by the directory's device and
//! inode. It ends with the last descriptor, so that the daemons of a killed build keep it for as long as they live, and
//! nobody else for longer. Who waits has a turn before all that come later. Commits take turns by a second, short lock.
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
//! A decided commit that cannot be finished, because somebody has been at `.kiln` or the journal, is [`txn::stuck_commits`]: it is said
//! until it is given up.
//!
//! kiln says "kept" after the third. The merge ([`txn::merge`]) renames what is staged, so that doing it again does what is left:
//! nothing is edited in place, a new directory appears with all it holds, and an entry is replaced by one rename. While
//! another lease is held only new names appear: deletions and replacements wait, decided and durable, in journal and
//! staging directory, for the first moment at which somebody is alone with the cache.
//!
//! A key is good until the host is started anew, when devices may get other numbers: then the records are found by what
//! they have staged ([`rekey`]). Nothing here relies on the order in which a file system writes what was not flushed.
//!
//! **Conflicts.** A build has seen the cache as it was when its lease began, a moment at which no commit is under way. FileType
//! another commit has put there since is never deleted by it: all that a merge moves is new from that moment on ([`dir::ctime`]),
//! however long ago it was staged. FileType both have written is decided by the table of [`crate::ecosystem`].
//!
//! **Care.** A prune and a repair are commits that only delete, under an exclusive lease; an import is a commit
//! of an archive.
//!
//! **Writes that go straight through.** A build in mode `rw` leaves a note in kiln's home before it begins ([`writers`]). At
//! its end, or when the next lease finds the note of a build that was killed, what it changed loses rights and other owners
//! ([`txn::scrub`]).
//!
//! **Trust.** The stream comes from a guest, and in mode `rw` a guest writes into the directory itself, `.kiln` included:
//! all access goes through [`dir`], sizes, depth and numbers are bounded, set-id bits and devices are not kept, and the
//! names that recovery follows are those of the journal, which no guest can reach.

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

/// The directory that `--cache-dir` names, absolute and without links, whether it exists or not; `None` for "". Makes nothing.
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

/// `~`, `~/x` or `~user/x`: `--cache-dir=~/x` reaches kiln so, since a shell replaces a `~` only where a word begins.
fn is_home_unexpanded(written: &str) -> bool {
    written.starts_with('~')
}

/// A path that does not exist, without the links of those above it that do.
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

/// Makes the directory, with those above it, so that a power cut leaves it there: what is kept in it is durable.
///
/// One that root makes only root may enter (0700): while a build writes straight into it, a set-id program may lie there.
fn make(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|above| !above.exists()).count();
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mode = if geteuid().is_root() { 0o700 } else { 0o777 };
    match DirBuilder::new().mode(mode).create(path) {
        // A race for the same directory has one winner.
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
