//! The merge: moves the entries of a decided commit to their place, by renames, one by one.
//!
//! After a crash it starts again: the entries that are left are those that still lie in the staging directory. A new directory
//! moves with all its entries in one rename. While there is another lease no entry is removed or replaced, since its holder
//! may be reading it: that waits.

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
    cache::dir::{
        BeneathDir, FileType, Renamed, compare, ctime, file_type, join, remove, shown, split, usage,
    },
    ecosystem::{self, Rule},
};

/// Up to this many directories are flushed one by one; beyond, the file system is flushed once.
const FLUSH_EACH: usize = 64;

/// One merge.
pub(in crate::cache) struct Merge<'a> {
    pub cache: &'a BeneathDir,
    pub staging: &'a Staging,
    pub record: &'a Record,
    /// There is no other lease.
    pub alone: bool,
    /// How many replacements and deletions wait.
    pub waiting: u64,
    /// How many cache directories were changed.
    pub touched: usize,
    /// The number of entries in the trash: the last one's name.
    pub thrown: u64,
    /// How the merge changes the amounts of the cache.
    pub delta: UsageDelta,
}

impl Merge<'_> {
    /// Merges all that does not wait, and makes it durable.
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

    /// Removes the entries that the build has seen; later ones stay.
    fn take_out(&mut self, parent: &BeneathDir, name: &[u8], path: &[u8]) -> Result<()> {
        let Some(stat) = parent.stat(name)? else { return Ok(()) };
        let kind = file_type(&stat);
        remove::writable(parent)?;
        if remove::changed_since(parent, name, self.record.started)? {
            let gone = remove::tree_older(parent, name, self.record.started, MAX_DEPTH)?;
            usage_delta::count(&mut self.delta.removed, path, kind, gone);
            // The directories that were changed are not known.
            self.touched += FLUSH_EACH;
            return Ok(());
        }
        if let Some(dir) = parent.dir(name)? {
            // Moving a directory writes its `..`.
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
            // Not staged by kiln: a guest that writes straight into the cache made it.
            return Ok(());
        }
        let Some(theirs) = to.stat(name)? else { return self.put(entry, depth) };
        let both = kind == FileType::Directory && file_type(&theirs) == FileType::Directory;
        if both && !self.record.opaque.iter().any(|opaque| opaque == path) {
            return self.descend(entry, depth);
        }
        if kind == FileType::File
            && file_type(&theirs) == FileType::File
            && compare::holds_same(from, to, name)?
        {
            // Another build has committed the same file: there is nothing to wait for.
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
        if kind != FileType::Directory && file_type(&theirs) != FileType::Directory {
            return self.replace(entry, &theirs);
        }
        self.take_out(to, name, path)?;
        match to.stat(name)? {
            None => self.put(entry, depth),
            // Entries that came after the build began stay, and the staged ones are put beside them.
            Some(left) if kind == FileType::Directory && file_type(&left) == FileType::Directory => {
                self.descend(entry, depth)
            }
            Some(_) => self.dropped(entry),
        }
    }

    /// Replaces a file or link.
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

    /// Counts an entry that is not moved into the cache.
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
            // A process without a lease was faster: its entry stays.
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

/// A staged entry and its place.
#[derive(Clone, Copy)]
struct Staged<'a> {
    from: &'a BeneathDir,
    to: &'a BeneathDir,
    name: &'a [u8],
    path: &'a [u8],
    kind: FileType,
}

/// Directories, then files, then the files that tools leave as a sign of completion (`.cargo-ok`), then links.
fn in_order(staged: &BeneathDir) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut found = Vec::new();
    for name in staged.names()? {
        if let Some(stat) = staged.stat(&name)? {
            found.push((name, file_type(&stat)));
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
