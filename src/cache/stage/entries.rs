//! Each kind of entry of the stream, staged if it is other than what the cache has in its place.
//!
//! [`super`] reads the stream and has entered the directory that an entry lies in. Content is compared as it comes: what is
//! the same is never written.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
};

use anyhow::{Context, Result};
use nix::sys::stat::FileStat;
use xattr::FileExt as _;

use super::{
    FLUSH_EACH, Origin, Stager, kept,
    refusals::{of_cache, refuse},
};
use crate::{
    cache::{
        place::{USER_ATTRIBUTE, What, bytes, permissions, set_time, shown, split, user_attributes, what},
        rules,
    },
    ecosystem,
    event::Amount,
    package::{self, Entry, Reader},
};

/// How an opaque directory is marked.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

impl Stager<'_> {
    pub(super) fn directory(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let Entry { path, mode, mtime, .. } = entry;
        self.here().staged.make_new(name)?;
        let existing = self.cached(name)?.filter(|stat| what(stat) == What::Directory);
        let opaque = self.is_opaque(entry);
        match existing {
            Some(stat) if !opaque => {
                // It stays as it is; where its owner cannot write, a merge has to ask for it and give it back.
                if permissions(&stat) & 0o200 == 0 {
                    self.record.modes.push((path.clone(), permissions(&stat) & 0o777));
                }
                return Ok(());
            }
            Some(_) => {
                self.record.opaque.push(path.clone());
                self.opaque.insert(path.clone());
            }
            None => {}
        }
        self.changes += 1;
        let wanted = (mode & 0o777) | 0o500;
        let place = self.here().staged.dir(name)?.context("a staged directory is gone")?;
        place.set_mode(wanted | 0o700)?;
        if wanted & 0o200 == 0 {
            self.record.modes.push((path.clone(), wanted));
        }
        self.open.push((path.clone(), *mtime));
        Ok(())
    }

    pub(super) fn file<R: Read>(
        &mut self,
        entry: &Entry,
        name: &[u8],
        size: u64,
        reader: &mut Reader<R>,
    ) -> Result<()> {
        let Entry { path, mode, mtime, xattrs, .. } = entry;
        let doing = || format!("stage {}", shown(path));
        let mode = (mode & 0o777) | 0o400;
        let users: Vec<_> = xattrs.iter().filter(|(key, _)| key.starts_with(USER_ATTRIBUTE)).collect();
        let before = self.cached(name).with_context(doing)?;
        let same_so_far = match (&before, &self.here().cached) {
            (Some(stat), Some(cached))
                if what(stat) == What::File
                    && u64::try_from(stat.st_size) == Ok(size)
                    && permissions(stat) == mode =>
            {
                cached.file(name).with_context(doing)?.filter(|file| has(file, &users))
            }
            _ => None,
        };
        let Some(file) = self.content(name, same_so_far, reader).with_context(doing)? else { return Ok(()) };
        for (key, value) in users {
            let key = std::ffi::OsStr::new(std::str::from_utf8(key).unwrap_or("user.unnamed"));
            match file.set_xattr(key, value) {
                // A file system that keeps none loses nothing that a package manager needs.
                Err(error) if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => {}
                result => result.with_context(doing)?,
            }
        }
        nix::sys::stat::fchmod(&file, nix::sys::stat::Mode::from_bits_truncate(mode)).with_context(doing)?;
        set_time(&file, mtime.seconds, mtime.nanos).with_context(doing)?;
        if self.entries <= FLUSH_EACH {
            file.sync_all().with_context(doing)?;
        }
        self.gain(path, size, before);
        Ok(())
    }

    /// Reads the content; `None` when it is that of `same`, else the file that holds it.
    fn content<R: Read>(
        &mut self,
        name: &[u8],
        mut same: Option<File>,
        reader: &mut Reader<R>,
    ) -> Result<Option<File>> {
        let mut out = match &same {
            None => Some(self.here().staged.create(name)?),
            Some(_) => None,
        };
        let mut offset = 0;
        loop {
            let length = reader.read_body(&mut self.buffer).map_err(of_cache)?;
            if length == 0 {
                return Ok(out);
            }
            if let Some(cached) = &same {
                let equal = cached.read_exact_at(&mut self.other[..length], offset).is_ok()
                    && self.other[..length] == self.buffer[..length];
                if !equal {
                    let file = self.here().staged.create(name)?;
                    io::copy(&mut Read::take(cached, offset), &mut &file)?;
                    out = Some(file);
                    same = None;
                }
            }
            if let Some(mut file) = out.as_ref() {
                file.write_all(&self.buffer[..length])?;
            }
            offset += length as u64;
        }
    }

    pub(super) fn symlink(&mut self, path: &[u8], name: &[u8], target: &[u8]) -> Result<()> {
        if target.is_empty() || target.len() > 4095 || target.contains(&0) {
            return Err(refuse(path, "its target is none"));
        }
        let before = self.cached(name)?;
        if let (Some(stat), Some(cached)) = (&before, &self.here().cached)
            && what(stat) == What::Symlink
            && bytes(&cached.read_link(name)?) == target
        {
            return Ok(());
        }
        self.here().staged.symlink(target, name)?;
        self.gain(path, target.len() as u64, before);
        Ok(())
    }

    /// One more name of an earlier entry, which is staged, or unchanged in the cache, or a whiteout.
    pub(super) fn hard_link(&mut self, path: &[u8], name: &[u8], target: &[u8]) -> Result<()> {
        package::check_path(target).map_err(|why| refuse(path, &format!("what it links to: {why}")))?;
        let doing = || format!("stage {}", shown(path));
        // All whiteouts of an overlay may be names of one inode.
        if self.whiteouts.contains(target) {
            return self.whiteout(path, name).with_context(doing);
        }
        let (directory, last) = split(target);
        for root in [self.tree, self.cache] {
            let Some(from) = root.dir(directory).with_context(doing)? else { continue };
            let Some(stat) = from.stat(last).with_context(doing)? else { continue };
            if !matches!(what(&stat), What::File | What::Symlink) {
                continue;
            }
            let before = self.cached(name).with_context(doing)?;
            if before.is_some_and(|before| (before.st_dev, before.st_ino) == (stat.st_dev, stat.st_ino)) {
                return Ok(());
            }
            self.here().staged.link(&from, last, name).with_context(doing)?;
            self.gain(path, 0, before);
            return Ok(());
        }
        Err(refuse(path, "it is a hard link to nothing that came before"))
    }

    pub(super) fn whiteout(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        self.whiteouts.insert(path.to_vec());
        if self.cached(name)?.is_some() {
            self.record.deletions.push(path.to_vec());
            self.changes += 1;
        }
        Ok(())
    }

    /// Whether a directory hides what was below it; in an archive nothing is hidden.
    pub(super) fn is_opaque(&self, entry: &Entry) -> bool {
        self.origin == Origin::Upper && entry.xattrs.iter().any(|(key, value)| key == OPAQUE && value == b"y")
    }

    fn gain(&mut self, path: &[u8], bytes: u64, before: Option<FileStat>) {
        self.changes += 1;
        if kept(path) == ecosystem::Kind::Rewritten {
            return;
        }
        let gain = self.gains.entry(rules::kind(path, false)).or_default();
        add(&mut gain.new, bytes);
        if let Some(stat) = before.filter(|stat| what(stat) != What::Directory) {
            add(&mut gain.replaced, u64::try_from(stat.st_size).unwrap_or(0));
        }
    }
}

fn add(amount: &mut Amount, bytes: u64) {
    amount.entries += 1;
    amount.bytes += bytes;
}

/// Whether a file has these attributes and no others; where it is not asked for any, its own are no matter.
fn has(file: &File, wanted: &[&(Vec<u8>, Vec<u8>)]) -> bool {
    wanted.is_empty() || user_attributes(file).is_ok_and(|own| own.iter().eq(wanted.iter().copied()))
}
