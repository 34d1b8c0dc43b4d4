//! Stages hard links: further names of an entry that this stream has brought, or that is the same in the cache.
//!
//! No other file of the cache is a target: under a name that is not kept (a lock, a log) the cache may have another content
//! than the build. The content of a file with several names ([`LINKED`]) whose first name is not kept waits in `unnamed`
//! for the others.

use std::io::Read;

use anyhow::{Context, Result};
use kiln_protocol::LINKED;
use nix::sys::stat::FileStat;

use super::{
    errors::refuse,
    link_targets::Was,
    stager::{NOT_ITS_NAME, Origin, Stager},
};
use crate::{
    cache::{
        dir::{
            BeneathDir, FileType, compare, file_type,
            holes::{MOST_HOLES, holes},
            is_below, shown, split,
        },
        txn::staging_root::DIRECTORY,
    },
    ecosystem::Digest,
    package::{self, Entry, Kind, Reader},
};

/// The target of a hard link.
struct Target {
    dir: BeneathDir,
    name: Vec<u8>,
    stat: FileStat,
    /// The bytes that the first link to it adds.
    bytes: u64,
}

impl Stager<'_> {
    /// Stages an entry that is not kept: only its content, if it may have a name that is kept.
    pub(super) fn junk<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        if !self.has_more_names(entry) {
            return Ok(());
        }
        let (number, doing) = (self.number(), || format!("stage {}", shown(&entry.path)));
        let unnamed = self.staging.unnamed()?;
        let content = self.buffers.take(&unnamed, number.to_string().as_bytes(), None, None, reader);
        let file = content.with_context(doing)?.context("nothing was compared, so it was written")?;
        self.finish(&file, entry).with_context(doing)?;
        self.targets.add(&entry.path, Was::Unnamed(number));
        Ok(())
    }

    /// Keeps only the content of an entry that has been staged as `name`.
    pub(super) fn keep_unnamed(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let staged = &self.here().staged;
        if !self.has_more_names(entry) {
            return Ok(staged.unlink(name)?);
        }
        let number = self.number();
        staged.move_over(name, &self.staging.unnamed()?, number.to_string().as_bytes())?;
        self.targets.add(&entry.path, Was::Unnamed(number));
        Ok(())
    }

    fn has_more_names(&self, entry: &Entry) -> bool {
        let marked = |(key, _): &(Vec<u8>, Vec<u8>)| key == LINKED.as_bytes();
        self.origin == Origin::Upper
            && matches!(entry.kind, Kind::File { .. })
            && entry.xattrs.iter().any(marked)
    }

    /// A number that no other content in `unnamed` has.
    fn number(&self) -> u64 {
        self.entries
    }

    /// Stages one more name of an earlier entry, which is staged, or unchanged in the cache, or not kept, or a whiteout.
    pub(super) fn hard_link(
        &mut self,
        path: &[u8],
        name: &[u8],
        target: &[u8],
        digest: Option<Digest>,
    ) -> Result<()> {
        package::check_path(target).map_err(|why| refuse(path, &format!("what it links to: {why}")))?;
        if is_below(target, DIRECTORY) {
            return Err(refuse(path, "it is a hard link to what no build may see"));
        }
        let doing = || format!("stage {}", shown(path));
        // All whiteouts of an overlay may be names of one inode.
        match self.targets.of(target) {
            Some(Was::Gone) => return self.whiteout(path, name).with_context(doing),
            Some(Was::LeftOut) => {
                self.leave_out(path, "what it links to is left out");
                return Ok(());
            }
            Some(Was::Same | Was::Unnamed(_)) | None => {}
        }
        let Some(target) = self.target(target).with_context(doing)? else {
            return Err(refuse(path, "it is a hard link to nothing that came before"));
        };
        if let Some(digest) = digest
            && !target.holds(digest).with_context(doing)?
        {
            self.leave_out(path, NOT_ITS_NAME);
            return Ok(());
        }
        let before = self.cached(name).with_context(doing)?;
        if let Some(stat) = &before
            && self.has_same(name, stat, &target).with_context(doing)?
        {
            self.targets.add(path, Was::Same);
            return Ok(());
        }
        self.here().staged.link(&target.dir, &target.name, name).with_context(doing)?;
        self.gain(path, target.bytes);
        Ok(())
    }

    fn target(&self, path: &[u8]) -> Result<Option<Target>> {
        let (directory, name) = split(path);
        if let Some(dir) = self.tree.dir(directory)?
            && let Some(target) = Target::at(dir, name)?
        {
            return Ok(Some(target));
        }
        match self.targets.of(path) {
            None | Some(Was::Gone | Was::LeftOut) => Ok(None),
            Some(Was::Same) => match self.cache.dir(directory)? {
                Some(dir) => Target::at(dir, name),
                None => Ok(None),
            },
            Some(Was::Unnamed(number)) => {
                let target = Target::at(self.staging.unnamed()?, number.to_string().as_bytes())?;
                // It is counted under the first name that is kept.
                let bytes = |stat: &FileStat| if stat.st_nlink == 1 { stat.st_size } else { 0 };
                let counted = |target: Target| Target { bytes: size(bytes(&target.stat)), ..target };
                Ok(target.map(counted))
            }
        }
    }

    /// Whether the cache has under `name` what a link to `target` would put there.
    fn has_same(&self, name: &[u8], stat: &FileStat, target: &Target) -> Result<bool> {
        if (stat.st_dev, stat.st_ino) == (target.stat.st_dev, target.stat.st_ino) {
            return Ok(true);
        }
        let Some(cached) = self.here().cached.as_ref().filter(|_| stat.st_size == target.stat.st_size) else {
            return Ok(false);
        };
        match (cached.file(name)?, target.dir.file(&target.name)?) {
            (Some(one), Some(other)) => Ok(compare::same(&one, &other)?),
            (None, _) | (_, None) => Ok(false),
        }
    }
}

impl Target {
    fn at(dir: BeneathDir, name: &[u8]) -> Result<Option<Self>> {
        let stat =
            dir.stat(name)?.filter(|stat| matches!(file_type(stat), FileType::File | FileType::Symlink));
        Ok(stat.map(|stat| Self { dir, name: name.to_vec(), stat, bytes: 0 }))
    }

    fn holds(&self, digest: Digest) -> Result<bool> {
        let Some(file) = self.dir.file(&self.name)? else { return Ok(false) };
        // The file of an earlier build may be mostly holes.
        Ok(holes(&file, &file.metadata()?)? <= MOST_HOLES && digest.fits(file)?)
    }
}

fn size(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
