//! Stages entries that differ from those of the cache: a function for each type.
//!
//! [`super`] reads the stream and has entered the directory of the entry.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
};

use anyhow::{Context, Result};
use nix::sys::stat::{FileStat, Mode, fchmod};
use xattr::FileExt as _;

use super::{
    errors::refuse,
    link_targets::Was,
    stager::{FLUSH_EACH, NOT_ITS_NAME, Origin, Stager, kept},
};
use crate::{
    cache::{
        dir::{
            FileType,
            attributes::{self, user_attributes},
            bytes, file_type, mtime, permissions, set_time, shown,
        },
        txn::target,
    },
    ecosystem::{self, Digest, Expected, fetch},
    package::{Entry, Kind, Reader},
};

/// The mark of an opaque directory.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

impl Stager<'_> {
    /// The digest that the name of an entry promises, if any; `None` for an entry that is left out, since its name cannot be
    /// right.
    pub(super) fn expected(&mut self, entry: &Entry) -> Option<Option<Digest>> {
        let Entry { path, kind, .. } = entry;
        let expected = match (ecosystem::expected(path), kind) {
            (_, Kind::Directory) => (!fetch::is_source_name(path)).then_some(None),
            (Expected::Anything, _) | (Expected::Digest(_), Kind::Whiteout) => Some(None),
            (Expected::Digest(digest), Kind::File { .. } | Kind::HardLink { .. }) => Some(Some(digest)),
            (Expected::Digest(_), Kind::Symlink { .. } | Kind::Fifo) | (Expected::NoFile, _) => None,
        };
        if expected.is_none() {
            self.leave_out(path, NOT_ITS_NAME);
        }
        expected
    }

    pub(super) fn directory(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let Entry { path, mode, mtime, .. } = entry;
        self.here().staged.make_new(name)?;
        let existing = self.cached(name)?.filter(|stat| file_type(stat) == FileType::Directory);
        let opaque = self.is_opaque(entry);
        match existing {
            Some(stat) if !opaque => {
                // It stays as it is. If its owner cannot write it, the merge sets the mode back.
                if permissions(&stat) & 0o200 == 0 {
                    let path = self.remembered(path);
                    self.record.modes.push((path, permissions(&stat) & 0o777));
                }
                return Ok(());
            }
            Some(_) => {
                let (hides, remembered) = (self.remembered(path), self.remembered(path));
                self.record.opaque.push(hides);
                self.opaque.insert(remembered);
            }
            None => {}
        }
        self.changes += 1;
        let wanted = (mode & 0o777) | 0o500;
        let dir = self.here().staged.dir(name)?.context("a staged directory is gone")?;
        dir.set_mode(wanted | 0o700)?;
        set_attributes(&dir.handle()?, entry)?;
        if wanted & 0o200 == 0 {
            let path = self.remembered(path);
            self.record.modes.push((path, wanted));
        }
        self.open.push((path.clone(), *mtime));
        Ok(())
    }

    pub(super) fn file<R: Read>(
        &mut self,
        entry: &Entry,
        name: &[u8],
        size: u64,
        digest: Option<Digest>,
        reader: &mut Reader<R>,
    ) -> Result<()> {
        let Entry { path, .. } = entry;
        let doing = || format!("stage {}", shown(path));
        let before = self.cached(name).with_context(doing)?;
        let same_so_far = self.alike(entry, name, size, before.as_ref()).with_context(doing)?;
        let Self { here, buffers, .. } = self;
        let staged = &here.as_ref().expect("a directory was entered before").staged;
        let mut checksum = digest.map(Digest::begin);
        let taken = buffers.take(staged, name, same_so_far, checksum.as_mut(), reader);
        let Some(file) = taken.with_context(doing)? else {
            self.targets.add(path, Was::Same);
            let is_later = before.is_some_and(|stat| mtime::is_later(entry.mtime, &stat));
            if is_later && kept(path) != ecosystem::Kind::Rewritten {
                let path = self.remembered(path);
                self.times.push((path, entry.mtime));
            }
            return Ok(());
        };
        if checksum.is_some_and(|checksum| !checksum.holds()) {
            self.finish(&file, entry).with_context(doing)?;
            self.leave_out(path, NOT_ITS_NAME);
            return self.keep_unnamed(entry, name).with_context(doing);
        }
        self.finish(&file, entry).with_context(doing)?;
        self.gain(path, size);
        Ok(())
    }

    /// The file in the cache that can only differ from an entry in its content.
    fn alike(
        &self,
        entry: &Entry,
        name: &[u8],
        size: u64,
        before: Option<&FileStat>,
    ) -> io::Result<Option<File>> {
        let is_alike = |stat: &&FileStat| {
            file_type(stat) == FileType::File
                && u64::try_from(stat.st_size) == Ok(size)
                && permissions(stat) == mode(entry)
        };
        match (before.filter(is_alike), &self.here().cached) {
            (Some(_), Some(cached)) => Ok(cached.file(name)?.filter(|file| has(file, &users(entry)))),
            (None, _) | (_, None) => Ok(None),
        }
    }

    /// Gives a file whose content has been written the mode, time and attributes of its entry.
    pub(super) fn finish(&self, file: &File, entry: &Entry) -> Result<()> {
        set_attributes(file, entry)?;
        fchmod(file, Mode::from_bits_truncate(mode(entry)))?;
        set_time(file, entry.mtime.seconds, entry.mtime.nanos)?;
        if self.entries <= FLUSH_EACH {
            file.sync_all()?;
        }
        Ok(())
    }

    pub(super) fn symlink(&mut self, entry: &Entry, name: &[u8], target: &[u8]) -> Result<()> {
        let Entry { path, mtime, .. } = entry;
        if target.is_empty() || target.len() > 4095 || target.contains(&0) {
            return Err(refuse(path, "its target is none"));
        }
        if self.origin == Origin::Archive && !target::is_within(path, target) {
            return Err(refuse(
                path,
                &format!("it is a link to {}, which is not in the cache", shown(target)),
            ));
        }
        let before = self.cached(name)?;
        if let (Some(stat), Some(cached)) = (&before, &self.here().cached)
            && file_type(stat) == FileType::Symlink
            && bytes(&cached.read_link(name)?) == target
        {
            self.targets.add(path, Was::Same);
            return Ok(());
        }
        let staged = &self.here().staged;
        staged.symlink(target, name)?;
        staged.set_link_time(name, mtime.seconds, mtime.nanos)?;
        self.gain(path, target.len() as u64);
        Ok(())
    }

    pub(super) fn whiteout(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        self.targets.add(path, Was::Gone);
        if self.cached(name)?.is_some() {
            let path = self.remembered(path);
            self.record.deletions.push(path);
            self.changes += 1;
        }
        Ok(())
    }

    /// Whether a directory hides the earlier entries below it. In an archive none does.
    pub(super) fn is_opaque(&self, entry: &Entry) -> bool {
        self.origin == Origin::Upper && entry.xattrs.iter().any(|(key, value)| key == OPAQUE && value == b"y")
    }
}

/// The permission bits of a staged file: no set-id bits, and readable for its owner.
fn mode(entry: &Entry) -> u32 {
    (entry.mode & 0o777) | 0o400
}

/// The attributes that are kept.
fn users(entry: &Entry) -> Vec<&(Vec<u8>, Vec<u8>)> {
    entry.xattrs.iter().filter(|(key, _)| attributes::is_kept(key)).collect()
}

/// Gives a file or directory the attributes of its entry.
fn set_attributes(file: &File, entry: &Entry) -> io::Result<()> {
    for (key, value) in users(entry) {
        match file.set_xattr(OsStr::from_bytes(key), value) {
            // No package manager needs them, so a file system without attributes will do.
            Err(error) if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Whether a file has exactly these attributes; true if there are none to compare.
fn has(file: &File, wanted: &[&(Vec<u8>, Vec<u8>)]) -> bool {
    wanted.is_empty() || user_attributes(file).is_ok_and(|own| own.iter().eq(wanted.iter().copied()))
}
