//! Stages a commit: the stream of an overlay's upper directory becomes a tree below `<cache>/.kiln`.
//!
//! Before it: the engine, with the agent's stream, which is hostile. After it: [`super::commit`]. Nothing else in the cache is
//! changed here. Entries that equal those of the cache are not staged. Directories that exist in the cache are staged empty,
//! as the way to new entries: [`super::merge`] walks the tree. This file reads the stream; [`entries`] stages each entry, and
//! [`links`] stages hard links.

mod buffers;
mod entries;
mod errors;
pub(in crate::cache) mod limit;
mod link_targets;
mod links;
mod skipped;
pub(in crate::cache) mod stager;

use std::{collections::HashSet, io::Read};

use anyhow::{Context, Result};

use self::{
    buffers::Buffers,
    errors::{full, mounted, of_cache, refuse},
    limit::too_deep,
    link_targets::LinkTargets,
    stager::{FLUSH_EACH, Origin, Stager, kept},
};
pub use self::{limit::CommitLimit, skipped::LeftOut};
use super::{
    journal,
    open_cache::OpenCache,
    persistent_dirs,
    staging::{Flush, Staging},
    staging_root::DIRECTORY,
    usage_delta::Amounts,
};
use crate::{
    cache::dir::{is_below, mounts::Mounts, shown, split},
    ecosystem,
    exit::explained,
    package::{self, Entry, Kind, Reader, Time},
};

/// The most bytes of one extended header of the stream.
const HEADER_BYTES: u64 = 256 << 10;
/// How many bytes of names are remembered for each entry that a commit may have: names of deletions, of directories that need
/// more than a rename, of files that were used.
const NAME: u64 = 128;

/// A staged commit: nothing of it is in the cache yet. It is removed when dropped.
#[derive(Debug)]
pub struct Staged {
    pub(in crate::cache) staging: Staging,
    pub(in crate::cache) record: journal::Record,
    /// Files and links that are new or changed, by category.
    pub gains: Amounts,
    /// Entries that are not staged.
    pub left_out: LeftOut,
    /// Files with the same content and a later time.
    pub(in crate::cache) times: Vec<(Vec<u8>, Time)>,
}

/// The outcome of a stream.
#[derive(Debug)]
pub enum Outcome {
    /// It is staged.
    Staged(Box<Staged>),
    /// The cache holds all of it already, but for the entries that were left out.
    Unchanged(LeftOut),
    /// It is more than the limit allows; in words.
    TooMuch(String),
}

/// Stages a stream.
///
/// # Errors
/// A cache failure (7) for a stream that is refused, or a cache that cannot be written. Nothing stays staged.
pub fn stage(cache: &OpenCache, stream: impl Read, limit: CommitLimit) -> Result<Outcome> {
    stage_from(cache, stream, limit, Origin::Upper)
}

/// Stages a stream of any origin.
pub(in crate::cache) fn stage_from(
    cache: &OpenCache,
    stream: impl Read,
    limit: CommitLimit,
    origin: Origin,
) -> Result<Outcome> {
    take(cache, stream, limit, origin).map_err(|error| explained(error, || full(cache)))
}

fn take(cache: &OpenCache, stream: impl Read, limit: CommitLimit, origin: Origin) -> Result<Outcome> {
    let staging = Staging::make(cache)?;
    let mut stager = Stager {
        cache: &cache.root,
        mounts: Mounts::below(&cache.directory)?,
        staging: &staging,
        tree: staging.tree(),
        here: None,
        open: Vec::new(),
        targets: LinkTargets::default(),
        opaque: HashSet::new(),
        record: journal::Record {
            staging: staging.name().to_owned(),
            started: cache.started,
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
    changes -= persistent_dirs::unstage(staging.tree(), &cache.root).context("look for what was not used")?;
    staging.clear_unnamed()?;
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

impl Stager<'_> {
    /// Reads all entries. Returns the reason if there are more than the limit allows.
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
        // A staging directory that a build sees is another commit's.
        if is_below(path, DIRECTORY) {
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
        let Some(digest) = self.expected(entry) else { return Ok(()) };
        self.can_be_renamed(entry)?;
        let (directory, name) = split(path);
        self.enter(directory)?;
        let doing = || format!("stage {}", shown(path));
        match &entry.kind {
            Kind::Directory => self.directory(entry, name).with_context(doing),
            Kind::File { size } => self.file(entry, name, *size, digest, reader),
            Kind::Symlink { target } => self.symlink(entry, name, target).with_context(doing),
            Kind::HardLink { target } => self.hard_link(path, name, target, digest),
            Kind::Whiteout if self.origin == Origin::Archive => Err(refuse(path, "it is a character device")),
            Kind::Whiteout => self.whiteout(path, name).with_context(doing),
            Kind::Fifo => Ok(()),
        }
    }

    /// Refuses an entry that could be decided but not merged.
    fn can_be_renamed(&self, entry: &Entry) -> Result<()> {
        let Entry { path, kind, .. } = entry;
        let replaces = *kind != Kind::Directory || self.is_opaque(entry);
        let within = || replaces.then(|| self.mounts.within(path)).flatten();
        match self.mounts.around(path).or_else(within) {
            None => Ok(()),
            Some(mount) => Err(mounted(path, mount)),
        }
    }
}
