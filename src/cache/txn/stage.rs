//! The stream of an overlay's upper directory becomes a staged tree: all that a build changed, below `<cache>/.kiln`.
//!
//! Before it: the engine, with the agent's stream, which is hostile. After it: [`super::commit`]. Nothing in the cache is
//! changed here. FileType is the same as what is there is left out; directories that exist are mirrored as empty ones on the
//! way down, so that [`super::merge`] finds by walking what goes where. This file reads the stream; [`entries`] stages, and
//! [`links`] gives one more name to what came before.

mod buffers;
mod entries;
mod errors;
mod limit;
mod link_targets;
mod links;
mod skipped;

use std::{
    collections::HashSet,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use anyhow::{Context, Result};
use nix::sys::stat::FileStat;

use self::{
    buffers::Buffers,
    errors::{full, mounted, of_cache, refuse},
    link_targets::Seen,
};
pub use self::{limit::CommitLimit, skipped::LeftOut};
use super::{journal, staging::Staging, usage_delta::Amounts};
use crate::{
    cache::{
        cargo_dirs,
        dir::{BeneathDir, ancestors, is_below, mounts::Mounts, shown, split},
        lease::Lease,
    },
    ecosystem,
    exit::explained,
    package::{self, Entry, Kind, Reader, Time},
};

/// No path of the cache is deeper: a merge holds two descriptors for each level.
pub(in crate::cache) const MAX_DEPTH: usize = 128;
/// No path of the cache is longer, as the kernel counts (PATH_MAX, with its NUL).
const MAX_PATH: usize = 4096;
/// Up to so many entries each file is flushed by itself; beyond, one flush of the file system costs less.
const FLUSH_EACH: u64 = 64;
/// At most so much of one extended header of the stream is taken.
const HEADER_BYTES: u64 = 256 << 10;
/// For each entry that a commit may have, so many bytes of names are remembered until it is done: those of deletions, of
/// directories that need more than to be moved, of files that were used.
const NAME: u64 = 128;
/// In pieces of this size content is compared and written.
const PIECE: usize = 256 << 10;

/// A staged commit: nothing of it is in the cache yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Staged {
    pub(in crate::cache) staging: Staging,
    pub(in crate::cache) record: journal::Record,
    /// Files and links that are new or other than before, by kind of directory.
    pub gains: Amounts,
    /// FileType is not staged.
    pub left_out: LeftOut,
    /// Files whose content stays and whose time is later now.
    pub(in crate::cache) times: Vec<(Vec<u8>, Time)>,
}

/// How things are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Flush {
    /// File by file.
    Each,
    /// The file system at once.
    All,
}

/// Where a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Origin {
    /// The upper directory of an overlay, with marks for what is gone.
    Upper,
    /// An archive of entries.
    Archive,
}

/// FileType became of a stream.
#[derive(Debug)]
pub enum Outcome {
    /// It is staged.
    Staged(Box<Staged>),
    /// Nothing in it is other than what the cache holds, but for what was left out.
    Unchanged(LeftOut),
    /// It is more than the limit allows; why, in words.
    TooMuch(String),
}

/// Stages what `stream` says.
///
/// # Errors
/// A cache failure (7) for a stream that is refused, or a cache that cannot be written. Nothing is left.
pub fn stage(lease: &Lease, stream: impl Read, limit: CommitLimit) -> Result<Outcome> {
    stage_from(lease, stream, limit, Origin::Upper)
}

/// The same, from wherever.
pub(in crate::cache) fn stage_from(
    lease: &Lease,
    stream: impl Read,
    limit: CommitLimit,
    origin: Origin,
) -> Result<Outcome> {
    take(lease, stream, limit, origin).map_err(|error| explained(error, || full(lease)))
}

fn take(lease: &Lease, stream: impl Read, limit: CommitLimit, origin: Origin) -> Result<Outcome> {
    let staging = Staging::make(lease)?;
    let mut stager = Stager {
        cache: &lease.place,
        mounts: Mounts::below(&lease.directory)?,
        staging: &staging,
        tree: staging.tree(),
        here: None,
        open: Vec::new(),
        seen: Seen::default(),
        opaque: HashSet::new(),
        record: journal::Record {
            staging: staging.name().to_owned(),
            started: lease.started,
            deletions: Vec::new(),
            opaque: Vec::new(),
            modes: Vec::new(),
        },
        gains: Amounts::new(),
        entries: 0,
        bytes: 0,
        changes: 0,
        left_out: LeftOut::default(),
        times: Vec::new(),
        names: 0,
        limit,
        origin,
        buffers: Buffers::new(),
    };
    let over = stager.read(stream)?;
    let Stager { record, gains, entries, mut changes, left_out, times, .. } = stager;
    changes -= cargo_dirs::unstage(staging.tree(), &lease.place).context("look for what was not used")?;
    staging.clear_aside()?;
    if let Some(over) = over {
        return Ok(Outcome::TooMuch(over));
    }
    if changes == 0 && times.is_empty() {
        return Ok(Outcome::Unchanged(left_out));
    }
    let flush = if entries <= FLUSH_EACH { Flush::Each } else { Flush::All };
    staging.sync(flush).context("make the new entries durable")?;
    Ok(Outcome::Staged(Box::new(Staged { staging, record, gains, left_out, times })))
}

/// The directory that entries are being put into: staged, and the one in the cache, if there is one.
struct Here {
    path: Vec<u8>,
    staged: BeneathDir,
    cached: Option<BeneathDir>,
}

struct Stager<'a> {
    cache: &'a BeneathDir,
    mounts: Mounts,
    staging: &'a Staging,
    tree: &'a BeneathDir,
    here: Option<Here>,
    /// New directories whose time is set when nothing more comes into them.
    open: Vec<(Vec<u8>, Time)>,
    seen: Seen,
    opaque: HashSet<Vec<u8>>,
    record: journal::Record,
    gains: Amounts,
    entries: u64,
    bytes: u64,
    /// How many entries are other than what is there.
    changes: u64,
    left_out: LeftOut,
    times: Vec<(Vec<u8>, Time)>,
    /// How many bytes of names are remembered.
    names: u64,
    limit: CommitLimit,
    origin: Origin,
    buffers: Buffers,
}

impl Stager<'_> {
    /// Reads all; the answer is why it is too much, if it is.
    fn read(&mut self, stream: impl Read) -> Result<Option<String>> {
        let limit = self.limit;
        let limits = package::Limits {
            entries: limit.entries.saturating_add(1),
            bytes: limit.bytes.saturating_add(limit.entries.saturating_mul(4096)).saturating_add(1 << 30),
            header_bytes: HEADER_BYTES,
        };
        let mut reader = Reader::new(stream, limits);
        loop {
            let next = reader.next_entry().map_err(of_cache)?;
            let Some(entry) = next else { break };
            self.entries += 1;
            if let Kind::File { size } = entry.kind {
                self.bytes = self.bytes.saturating_add(size);
            }
            if self.entries > limit.entries {
                return Ok(Some(format!("more than {} entries were written", limit.entries)));
            }
            if self.bytes > limit.bytes {
                return Ok(Some(format!("more than {} MiB were written", limit.bytes >> 20)));
            }
            self.entry(&entry, &mut reader)?;
            if self.names > limit.entries.saturating_mul(NAME) {
                return Ok(Some("the names of what was deleted, made read-only or used are too long".into()));
            }
        }
        self.leave(b"")?;
        Ok(None)
    }

    fn entry<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        let path = &entry.path;
        // The build saw another commit's staging directory, if it saw one at all.
        if is_below(path, super::staging::DIRECTORY) {
            return Ok(());
        }
        let deep = too_deep(path);
        if deep.is_none() {
            package::check_path(path).map_err(|why| refuse(path, &why))?;
        }
        if kept(path) == ecosystem::Kind::Junk {
            return self.junk(entry, reader);
        }
        if let Some(why) = deep {
            self.leave_out(path, &why);
            return self.junk(entry, reader);
        }
        let Some(should) = self.believed(entry) else { return Ok(()) };
        self.can_be_renamed(entry)?;
        let (directory, name) = split(path);
        self.enter(directory)?;
        let doing = || format!("stage {}", shown(path));
        match &entry.kind {
            Kind::Directory => self.directory(entry, name).with_context(doing),
            Kind::File { size } => self.file(entry, name, *size, should, reader),
            Kind::Symlink { target } => self.symlink(entry, name, target).with_context(doing),
            Kind::HardLink { target } => self.hard_link(path, name, target, should),
            Kind::Whiteout if self.origin == Origin::Archive => Err(refuse(path, "it is a character device")),
            Kind::Whiteout => self.whiteout(path, name).with_context(doing),
            Kind::Fifo => Ok(()),
        }
    }

    /// Refuses what would be decided and then impossible.
    fn can_be_renamed(&self, entry: &Entry) -> Result<()> {
        let Entry { path, kind, .. } = entry;
        let replaces = *kind != Kind::Directory || self.is_opaque(entry);
        let within = || replaces.then(|| self.mounts.within(path)).flatten();
        match self.mounts.around(path).or_else(within) {
            None => Ok(()),
            Some(mount) => Err(mounted(path, mount)),
        }
    }

    /// Makes `directory` the place where entries go: its own entry has come before.
    fn enter(&mut self, directory: &[u8]) -> Result<()> {
        if self.here.as_ref().is_some_and(|here| here.path == directory) {
            return Ok(());
        }
        self.leave(directory)?;
        let looked = || format!("open {}", shown(directory));
        let staged = self.tree.dir(directory).with_context(looked)?;
        let staged = staged.ok_or_else(|| refuse(directory, "it is no directory that came before"))?;
        let hidden = ancestors(directory).any(|above| self.opaque.contains(above));
        let cached = if hidden { None } else { self.cache.dir(directory).with_context(looked)? };
        self.here = Some(Here { path: directory.to_vec(), staged, cached });
        Ok(())
    }

    /// Sets the times of the new directories that `next` does not lie in.
    fn leave(&mut self, next: &[u8]) -> Result<()> {
        while let Some((path, time)) = self.open.pop_if(|(path, _)| !is_below(next, path)) {
            let place = self.tree.dir(&path)?.context("a staged directory is gone")?;
            place.set_time(time.seconds, time.nanos).with_context(|| format!("stage {}", shown(&path)))?;
        }
        Ok(())
    }

    /// A name that is remembered until the end.
    fn remembered(&mut self, path: &[u8]) -> Vec<u8> {
        self.names += path.len() as u64;
        path.to_vec()
    }

    fn here(&self) -> &Here {
        self.here.as_ref().expect("a directory was entered before")
    }

    /// FileType the cache has in the place of an entry.
    fn cached(&self, name: &[u8]) -> io::Result<Option<FileStat>> {
        self.here().cached.as_ref().map_or(Ok(None), |cached| cached.stat(name))
    }
}

/// Why no commit, import or export takes something that lies where it lies.
pub(in crate::cache) fn too_deep(path: &[u8]) -> Option<String> {
    if path.len() >= MAX_PATH {
        return Some(format!("its path is longer than {} bytes", MAX_PATH - 1));
    }
    let depth = path.split(|&byte| byte == b'/').count();
    (depth > MAX_DEPTH).then(|| format!("it lies deeper than {MAX_DEPTH} directories"))
}

/// FileType a path is to the tool whose directory it lies in.
fn kept(path: &[u8]) -> ecosystem::Kind {
    ecosystem::kind(Path::new(std::ffi::OsStr::from_bytes(path)))
}
