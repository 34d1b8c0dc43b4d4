//! FileType a decided commit has staged goes to its place: by renames, entry by entry, and again from the start after a crash.
//!
//! The state is what still lies in the staging directory, so doing it once more does only what is left. A new directory
//! goes with all that it holds in one rename. FileType another build may be reading is neither removed nor replaced while it
//! has a lease: that waits.

use std::io;

use anyhow::{Context, Result};
use nix::sys::stat::FileStat;

use super::{
    journal::Record,
    stage::limit::MAX_DEPTH,
    staging::Staging,
    usage_delta::{self, UsageDelta},
};
use crate::{
    cache::dir::{BeneathDir, FileType, Renamed, compare, ctime, join, remove, shown, split, usage, what},
    ecosystem::{self, Rule},
};

/// Up to so many directories are flushed one by one; beyond, the file system is flushed once.
const FLUSH_EACH: usize = 64;

/// One merge.
pub(in crate::cache) struct Merge<'a> {
    pub cache: &'a BeneathDir,
    pub staging: &'a Staging,
    pub record: &'a Record,
    /// Nobody else uses the cache.
    pub alone: bool,
    /// How many replacements and deletions wait.
    pub waiting: u64,
    /// How many cache directories were changed.
    pub touched: usize,
    /// Names for what is thrown away.
    pub thrown: u64,
    /// FileType all of it makes of the amounts.
    pub delta: UsageDelta,
}

impl Merge<'_> {
    /// Does what can be done now, and makes it durable.
    pub(in crate::cache) fn run(&mut self) -> Result<()> {
        let record = self.record;
        if record.deletions.len() > FLUSH_EACH {
            self.touched = FLUSH_EACH + 1;
        }
        for path in &record.deletions {
            self.delete(path).with_context(|| format!("remove {} from the cache", shown(path)))?;
        }
        let staging = self.staging;
        self.directory(staging.tree(), self.cache, b"", MAX_DEPTH)?;
        for (path, mode) in &record.modes {
            if let Some(dir) = self.cache.dir(path)?
                && dir.itself()?.st_mode & 0o7777 != *mode
            {
                dir.set_mode(*mode).with_context(|| format!("set the mode of {}", shown(path)))?;
                self.touched(&dir)?;
            }
        }
        if self.touched > FLUSH_EACH {
            self.cache.sync_file_system().context("make the cache durable")?;
        }
        Ok(())
    }

    fn touched(&mut self, dir: &BeneathDir) -> Result<()> {
        self.touched += 1;
        if self.touched <= FLUSH_EACH { dir.sync().context("make a directory durable") } else { Ok(()) }
    }

    fn delete(&mut self, path: &[u8]) -> Result<()> {
        let (directory, name) = split(path);
        let Some(parent) = self.cache.dir(directory)? else { return Ok(()) };
        if parent.stat(name)?.is_none() {
            return Ok(());
        }
        if !self.alone {
            self.waiting += 1;
            return Ok(());
        }
        self.take_out(&parent, name, path)?;
        self.touched(&parent)
    }

    /// Removes what the build has seen; what came later stays.
    fn take_out(&mut self, parent: &BeneathDir, name: &[u8], path: &[u8]) -> Result<()> {
        let Some(stat) = parent.stat(name)? else { return Ok(()) };
        let kind = what(&stat);
        remove::writable(parent)?;
        if remove::changed_since(parent, name, self.record.started)? {
            let gone = remove::tree_older(parent, name, self.record.started, MAX_DEPTH)?;
            usage_delta::count(&mut self.delta.removed, path, kind, gone);
            // In directories that nobody has noted.
            self.touched += FLUSH_EACH;
            return Ok(());
        }
        if let Some(dir) = parent.dir(name)? {
            // A directory that moves has its `..` written.
            remove::writable(&dir)?;
        }
        usage_delta::count(&mut self.delta.removed, path, kind, usage::du(parent, name)?);
        let trash = self.staging.trash()?;
        loop {
            self.thrown += 1;
            if parent.move_new(name, &trash, self.thrown.to_string().as_bytes())? == Renamed::Done {
                return Ok(());
            }
        }
    }

    fn directory(
        &mut self,
        staged: &BeneathDir,
        cached: &BeneathDir,
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        let before = self.touched;
        for (name, kind) in
            in_order(staged).with_context(|| format!("list what is staged of {}", shown(path)))?
        {
            let whole = join(path, &name);
            let entry = Staged { from: staged, to: cached, name: &name, path: &whole, kind };
            self.entry(&entry, depth).with_context(|| format!("put {} into the cache", shown(&whole)))?;
        }
        if self.touched > before {
            self.touched(cached)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Staged<'_>, depth: usize) -> Result<()> {
        let Staged { from, to, name, path, kind } = *entry;
        if kind == FileType::Other {
            // Nothing of ours: a guest that writes straight into the cache has been here.
            return Ok(());
        }
        let Some(theirs) = to.stat(name)? else { return self.put(entry, depth) };
        let both = kind == FileType::Directory && what(&theirs) == FileType::Directory;
        if both && !self.record.opaque.iter().any(|opaque| opaque == path) {
            return self.descend(entry, depth);
        }
        if kind == FileType::File && what(&theirs) == FileType::File && compare::holds_same(from, to, name)? {
            // A commit of the same build somewhere else: there is nothing to wait for.
            self.dropped(entry)?;
            return Ok(from.unlink(name)?);
        }
        if !self.alone {
            self.waiting += 1;
            return Ok(());
        }
        let newer = remove::changed_since(to, name, self.record.started)?;
        if newer && ecosystem::conflict_rule(path) == Rule::First {
            return self.dropped(entry);
        }
        if kind != FileType::Directory && what(&theirs) != FileType::Directory {
            return self.replace(entry, &theirs);
        }
        self.take_out(to, name, path)?;
        match to.stat(name)? {
            None => self.put(entry, depth),
            // FileType came later than the build began stays, and ours goes around it.
            Some(left) if kind == FileType::Directory && what(&left) == FileType::Directory => {
                self.descend(entry, depth)
            }
            Some(_) => self.dropped(entry),
        }
    }

    /// In the place of another file or link.
    fn replace(&mut self, entry: &Staged<'_>, theirs: &FileStat) -> Result<()> {
        let Staged { from, to, name, path, kind } = *entry;
        remove::writable(to)?;
        let new = ctime::renew(from, name, 0)?;
        from.move_over(name, to, name)?;
        usage_delta::count(&mut self.delta.added, path, kind, new);
        usage_delta::count(&mut self.delta.removed, path, kind, usage::of(theirs));
        self.touched += 1;
        Ok(())
    }

    /// It stays out.
    fn dropped(&mut self, entry: &Staged<'_>) -> Result<()> {
        let Staged { from, to: _, name, path, kind } = *entry;
        usage_delta::count(&mut self.delta.dropped, path, kind, usage::du(from, name)?);
        Ok(())
    }

    fn put(&mut self, entry: &Staged<'_>, depth: usize) -> Result<()> {
        let Staged { from, to, name, path, kind } = *entry;
        remove::writable(to)?;
        let new = ctime::renew(from, name, depth)?;
        if from.move_new(name, to, name)? == Renamed::Done {
            self.touched += 1;
            usage_delta::count(&mut self.delta.added, path, kind, new);
        } else {
            // Somebody who takes no lease was faster: what is there stays.
            self.dropped(entry)?;
        }
        Ok(())
    }

    fn descend(&mut self, entry: &Staged<'_>, depth: usize) -> Result<()> {
        let Staged { from, to, name, path, .. } = *entry;
        // Nothing that kiln stages is deeper.
        if depth == 0 {
            return Ok(());
        }
        if let (Some(ours), Some(theirs)) = (from.dir(name)?, to.dir(name)?) {
            self.directory(&ours, &theirs, path, depth - 1)?;
        }
        Ok(from.remove_empty(name)?)
    }
}

/// An entry on its way.
#[derive(Clone, Copy)]
struct Staged<'a> {
    from: &'a BeneathDir,
    to: &'a BeneathDir,
    name: &'a [u8],
    path: &'a [u8],
    kind: FileType,
}

/// Directories first, then files, those that tools leave as a sign of completion (`.cargo-ok`) last; links to them at the end.
fn in_order(staged: &BeneathDir) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut found = Vec::new();
    for name in staged.names()? {
        if let Some(stat) = staged.stat(&name)? {
            found.push((name, what(&stat)));
        }
    }
    found.sort_by_key(|(name, kind)| match kind {
        FileType::Directory => 0,
        FileType::File if name.first() != Some(&b'.') => 1,
        FileType::File => 2,
        FileType::Symlink | FileType::Other => 3,
    });
    Ok(found)
}
