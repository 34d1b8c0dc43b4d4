//! A staging directory: `<cache>/.kiln/<home>-<random>`, on the file system of the cache, so that entries can be renamed.
//!
//! The name begins with the identity of kiln's home: the staging directories of other homes are left alone. The maker holds a
//! lock in its home while it fills the directory. One that is neither locked nor in the journal was left by a maker that
//! died.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
};

use anyhow::{Context, Result};

use super::{
    open_cache::OpenCache,
    staging_root::{DIRECTORY, make, prefix},
};
use crate::cache::dir::{BeneathDir, join, lock::LockFile, remove, shown};
use crate::event::WarningKind;

/// In a staging directory, the tree.
const TREE: &[u8] = b"tree";
/// In it, entries that were taken out of the cache.
const TRASH: &[u8] = b"trash";
/// In it, content whose first name is not kept and whose other names may be.
const UNNAMED: &[u8] = b"unnamed";
/// In the home, the locks of staging directories that are being filled.
const LOCKS: &str = "staging";

/// How things are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Flush {
    /// File by file.
    Each,
    /// The file system at once.
    All,
}

/// A staging directory. It is removed when dropped before its commit is decided.
#[derive(Debug)]
pub(in crate::cache) struct Staging {
    name: String,
    cache: BeneathDir,
    parent: BeneathDir,
    top: BeneathDir,
    tree: BeneathDir,
    lock: Option<LockFile>,
    fate: Fate,
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is removed when dropped.
    Undecided,
    /// The journal names it.
    Decided,
}

impl Staging {
    /// Makes one.
    pub(in crate::cache) fn make(cache: &OpenCache) -> Result<Self> {
        let random = RandomState::new().hash_one("a fresh random key makes this a random number");
        let name = format!("{}{random:016x}", prefix(cache)?);
        let locks = cache.home.dir(LOCKS)?;
        let lock = LockFile::hold(&locks.join(&name))?;
        // Another commit may remove the empty `.kiln` at this moment.
        let parent = loop {
            let parent = make(cache)?;
            match parent.make_new(name.as_bytes()) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => break result.map(|()| parent).context("make a staging directory")?,
            }
        };
        let top = parent.dir(name.as_bytes()).context("open a staging directory")?;
        top.context("a staging directory is gone")?.make_new(TREE).context("make a staging directory")?;
        let made = Self::open_in(cache, parent, &name, Some(lock), Fate::Undecided)?;
        made.context("a staging directory is gone")
    }

    /// Opens one that the journal names; `None` if it, or its tree, is gone.
    pub(in crate::cache) fn open(cache: &OpenCache, name: &str) -> Result<Option<Self>> {
        let Some(parent) = cache.root.dir(DIRECTORY).context("open .kiln in the cache")? else {
            return Ok(None);
        };
        Self::open_in(cache, parent, name, None, Fate::Decided)
    }

    fn open_in(
        cache: &OpenCache,
        parent: BeneathDir,
        name: &str,
        lock: Option<LockFile>,
        fate: Fate,
    ) -> Result<Option<Self>> {
        let Some(top) = parent.dir(name.as_bytes()).context("open a staging directory")? else {
            return Ok(None);
        };
        let Some(tree) = top.dir(TREE).context("open a staging directory")? else { return Ok(None) };
        let cache = cache.root.dir(b"").context("open the cache")?.context("the cache is gone")?;
        Ok(Some(Self { name: name.to_owned(), cache, parent, top, tree, lock, fate }))
    }

    pub(in crate::cache) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::cache) fn tree(&self) -> &BeneathDir {
        &self.tree
    }

    /// The directory for entries that are taken out of the cache.
    pub(in crate::cache) fn trash(&self) -> Result<BeneathDir> {
        self.top.make(TRASH).context("make a directory for what is removed")
    }

    /// The directory for content without a name that is kept.
    pub(in crate::cache) fn unnamed(&self) -> Result<BeneathDir> {
        self.top.make(UNNAMED).context("make a directory for what may be kept")
    }

    /// Removes the content that has got no name.
    pub(in crate::cache) fn clear_unnamed(&self) -> Result<()> {
        remove::tree(&self.top, UNNAMED).context("remove what is not kept")
    }

    /// Makes it and all entries durable; with [`Flush::Each`] the files have been flushed.
    pub(in crate::cache) fn sync(&self, flush: Flush) -> Result<()> {
        match flush {
            Flush::All => self.top.sync_file_system()?,
            Flush::Each => {
                sync_tree(&self.tree)?;
                self.top.sync()?;
                self.parent.sync()?;
                // It may be this commit that made `.kiln`.
                self.cache.sync()?;
            }
        }
        Ok(())
    }

    /// The journal names it from now on.
    pub(in crate::cache) fn decided(&mut self) {
        self.fate = Fate::Decided;
    }

    /// Removes it, with what is left in it.
    pub(in crate::cache) fn remove(mut self) -> Result<()> {
        self.fate = Fate::Decided;
        remove::tree(&self.parent, self.name.as_bytes()).context("remove a staging directory")?;
        self.cache.remove_empty(DIRECTORY).context("remove .kiln from the cache")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.fate == Fate::Undecided {
            // best effort: it is removed as an orphan later, and an error is being reported already.
            let _ = remove::tree(&self.parent, self.name.as_bytes())
                .and_then(|()| self.cache.remove_empty(DIRECTORY));
        }
        if let Some(lock) = &self.lock {
            // best effort: an empty file in kiln's home.
            let _ = fs::remove_file(lock.path());
        }
    }
}

fn sync_tree(dir: &BeneathDir) -> Result<()> {
    for name in dir.names()? {
        if let Some(below) = dir.dir(&name)? {
            sync_tree(&below)?;
        }
    }
    Ok(dir.sync()?)
}

/// Removes the lock files of makers that died, whichever cache they were for.
pub(in crate::cache) fn sweep_locks(cache: &OpenCache) -> Result<()> {
    let locks = cache.home.dir(LOCKS)?;
    let listing = fs::read_dir(&locks).with_context(|| format!("read {}", locks.display()))?;
    for entry in listing.flatten() {
        if !LockFile::open(&entry.path())?.is_held()? {
            // best effort: its maker, or another sweep, may have removed it.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Whether the cache has a staging directory of this name, with its tree.
pub(in crate::cache) fn is_there(cache: &OpenCache, name: &str) -> Result<bool> {
    let path = [DIRECTORY, name.as_bytes(), TREE].join(&b'/');
    Ok(cache.root.dir(&path).with_context(|| format!("open {}", shown(&path)))?.is_some())
}

/// Removes the staging directories of makers that died. Those in `kept` are named by the journal.
pub(in crate::cache) fn remove_orphans(cache: &OpenCache, kept: &[String]) -> Result<()> {
    let Some(parent) = cache.root.dir(DIRECTORY).context("open .kiln in the cache")? else { return Ok(()) };
    let prefix = prefix(cache)?;
    let locks = cache.home.dir(LOCKS)?;
    for name in parent.names().context("list .kiln in the cache")? {
        let text = String::from_utf8_lossy(&name).into_owned();
        if !text.starts_with(&prefix) || kept.contains(&text) {
            continue;
        }
        let lock = locks.join(&text);
        if lock.exists() && LockFile::open(&lock)?.is_held()? {
            continue;
        }
        if let Err(error) = remove::tree(&parent, &name) {
            // It is in the way of nothing. A guest may have made it so.
            let path = shown(&join(DIRECTORY, &name));
            cache
                .warn(WarningKind::StagingStays, format!("{path} in the cache cannot be removed: {error:#}"));
        }
        // best effort: its maker may have removed it.
        let _ = fs::remove_file(&lock);
    }
    cache.root.remove_empty(DIRECTORY).context("remove .kiln from the cache")
}
