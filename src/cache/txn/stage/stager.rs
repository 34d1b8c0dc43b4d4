//! The state of a commit that is being staged: where entries go, what came before, and what is counted.

use std::{collections::HashSet, ffi::OsStr, io, os::unix::ffi::OsStrExt, path::Path};

use anyhow::{Context, Result};
use nix::sys::stat::FileStat;

use super::{
    buffers::Buffers,
    errors::refuse,
    limit::CommitLimit,
    link_targets::{LinkTargets, Was},
    skipped::LeftOut,
};
use crate::{
    cache::{
        dir::{BeneathDir, ancestors, is_below, mounts::Mounts, shown},
        txn::{category::category, journal, staging::Staging, usage_delta::Amounts},
    },
    ecosystem,
    event::Amount,
    package::Time,
};

/// Up to this many entries each file is flushed by itself; beyond, one flush of the file system costs less.
pub(super) const FLUSH_EACH: u64 = 64;
/// Why an entry is left out whose name promises another content.
pub(super) const NOT_ITS_NAME: &str = "its name says otherwise";

/// Where a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Origin {
    /// The upper directory of an overlay, with marks for what is gone.
    Upper,
    /// An archive, as an export makes it.
    Archive,
}

/// The directory that entries are being put into: staged, and the one in the cache, if there is one.
pub(super) struct Here {
    pub(super) path: Vec<u8>,
    pub(super) staged: BeneathDir,
    pub(super) cached: Option<BeneathDir>,
}

pub(super) struct Stager<'a> {
    pub(super) cache: &'a BeneathDir,
    pub(super) mounts: Mounts,
    pub(super) staging: &'a Staging,
    pub(super) tree: &'a BeneathDir,
    pub(super) here: Option<Here>,
    /// New directories whose time is set when nothing more comes into them.
    pub(super) open: Vec<(Vec<u8>, Time)>,
    pub(super) targets: LinkTargets,
    pub(super) opaque: HashSet<Vec<u8>>,
    pub(super) record: journal::Record,
    pub(super) gains: Amounts,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// How many entries differ from those of the cache.
    pub(super) changes: u64,
    pub(super) left_out: LeftOut,
    pub(super) times: Vec<(Vec<u8>, Time)>,
    /// How many bytes of names are remembered.
    pub(super) names: u64,
    pub(super) limit: CommitLimit,
    pub(super) origin: Origin,
    pub(super) buffers: Buffers,
}

impl Stager<'_> {
    /// Makes `directory` the one that entries are put into. Its own entry has come before.
    pub(super) fn enter(&mut self, directory: &[u8]) -> Result<()> {
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
    pub(super) fn leave(&mut self, next: &[u8]) -> Result<()> {
        while let Some((path, time)) = self.open.pop_if(|(path, _)| !is_below(next, path)) {
            let dir = self.tree.dir(&path)?.context("a staged directory is gone")?;
            dir.set_time(time.seconds, time.nanos).with_context(|| format!("stage {}", shown(&path)))?;
        }
        Ok(())
    }

    /// A name that is remembered until the end.
    pub(super) fn remembered(&mut self, path: &[u8]) -> Vec<u8> {
        self.names += path.len() as u64;
        path.to_vec()
    }

    pub(super) fn here(&self) -> &Here {
        self.here.as_ref().expect("a directory was entered before")
    }

    /// The entry of this name in the cache.
    pub(super) fn cached(&self, name: &[u8]) -> io::Result<Option<FileStat>> {
        self.here().cached.as_ref().map_or(Ok(None), |cached| cached.stat(name))
    }

    /// Leaves out an entry, and reports it.
    pub(super) fn leave_out(&mut self, path: &[u8], why: &str) {
        self.left_out.add(path, why);
        self.targets.add(path, Was::LeftOut);
    }

    pub(super) fn gain(&mut self, path: &[u8], bytes: u64) {
        self.changes += 1;
        if kept(path) == ecosystem::Kind::Rewritten {
            return;
        }
        let gain = self.gains.entry(category(path, false)).or_default();
        *gain = gain.plus(Amount { entries: 1, bytes });
    }
}

/// Whether the tool whose directory a path lies in keeps it.
pub(super) fn kept(path: &[u8]) -> ecosystem::Kind {
    ecosystem::kind(Path::new(OsStr::from_bytes(path)))
}
