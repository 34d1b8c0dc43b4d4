//! Exports a cache as an archive (tar.zst), and imports one.
//!
//! An export walks in the order of names, so that the same entries give the same bytes. An import is a commit of the archive,
//! with the same limits and checks; the marks of an overlay have no meaning in it.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{BufReader, Read, Write},
    ops::ControlFlow,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use nix::sys::stat::FileStat;
use zstd::stream::{read::Decoder, write::Encoder};

use super::{
    dir::{
        FileType,
        attributes::user_attributes,
        bytes,
        holes::{MOST_HOLES, holes},
        is_below, permissions, shown,
        walk::Found,
    },
    lease::Lease,
    txn::{
        category::{SOURCES, category},
        contents::walk,
        stage::{CommitLimit, LeftOut, Outcome, limit::too_deep, stage_from, stager::Origin},
        target,
    },
};
use crate::{
    ecosystem,
    event::Amount,
    package::{Entry, Kind, Time, Writer},
};

/// zstd's default: faster than most disks, half of the size.
const LEVEL: i32 = 3;
/// Content is copied in pieces of this size.
const PIECE: usize = 256 << 10;

/// The part of a cache that is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Everything.
    All,
    /// These paths, with all below them.
    Named(Vec<Vec<u8>>),
}

impl Chosen {
    fn has(&self, path: &[u8], file_type: FileType) -> bool {
        let Self::Named(names) = self else { return true };
        let source = || file_type != FileType::Directory && category(path, false) == SOURCES;
        names.iter().any(|name| {
            is_below(path, name)
                // On the way to it.
                || (file_type == FileType::Directory && is_below(name, path))
                || (name == SOURCES.as_bytes() && source())
        })
    }
}

/// The outcome of an entry.
enum Added {
    Done,
    /// An import would refuse it, or change it; the reason.
    LeftOut(String),
}

/// Writes the archive. Returns how many files and links it holds, and their bytes.
pub fn export(lease: &Lease, chosen: &Chosen, out: impl Write) -> Result<Amount> {
    let mut encoder = Encoder::new(out, LEVEL).context("start the compressor")?;
    encoder.include_checksum(true).context("start the compressor")?;
    let mut export = Export {
        writer: Writer::new(encoder),
        links: HashMap::new(),
        amount: Amount::default(),
        buffer: vec![0; PIECE],
    };
    let mut left_out = LeftOut::default();
    let each = |found: &Found<'_>| {
        let path = Path::new(OsStr::from_bytes(found.path));
        let junk = ecosystem::kind(path) == ecosystem::Kind::Junk || ecosystem::is_unfinished(path);
        if !junk && chosen.has(found.path, found.file_type) {
            let added = match too_deep(found.path) {
                Some(why) => Added::LeftOut(why),
                None => export.add(found).with_context(|| format!("export {}", shown(found.path)))?,
            };
            match added {
                Added::Done => {}
                Added::LeftOut(why) => left_out.add(found.path, &why),
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    walk(&lease.root, each)?;
    if let Some(words) = left_out.words() {
        tracing::warn!("the archive leaves out {words}");
    }
    let Export { writer, amount, .. } = export;
    let encoder = writer.finish().context("write the archive")?;
    encoder.finish().and_then(|mut out| out.flush()).context("write the archive")?;
    Ok(amount)
}

/// Stages the entries of an archive; [`super::commit()`] puts them into the cache.
pub fn import(lease: &Lease, archive: impl Read, limit: CommitLimit) -> Result<Outcome> {
    let stream = Decoder::with_buffer(BufReader::new(archive)).context("start the decompressor")?;
    stage_from(lease, stream, limit, Origin::Archive)
}

struct Export<W: Write> {
    writer: Writer<W>,
    /// The paths of files with several names, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    amount: Amount,
    buffer: Vec<u8>,
}

impl<W: Write> Export<W> {
    fn add(&mut self, found: &Found<'_>) -> Result<Added> {
        let kind = match found.file_type {
            FileType::Directory => return self.directory(found),
            FileType::File => return self.file(found),
            FileType::Symlink => {
                let target = found.dir.read_link(found.name)?;
                if !target::is_within(found.path, bytes(&target)) {
                    return Ok(Added::LeftOut("it is a link that leads out of the cache".into()));
                }
                self.count(bytes(&target).len() as u64);
                Kind::Symlink { target: bytes(&target).to_vec() }
            }
            FileType::Other => return Ok(Added::Done),
        };
        self.writer.entry(&entry(found.path, &found.stat, kind))?;
        Ok(Added::Done)
    }

    fn directory(&mut self, found: &Found<'_>) -> Result<Added> {
        let mut entry = entry(found.path, &found.stat, Kind::Directory);
        if let Some(dir) = found.dir.dir(found.name)? {
            entry.xattrs = user_attributes(&dir.handle()?)?;
        }
        self.writer.entry(&entry)?;
        Ok(Added::Done)
    }

    fn file(&mut self, found: &Found<'_>) -> Result<Added> {
        // It has been removed meanwhile.
        let Some(mut file) = found.dir.file_unused(found.name)? else { return Ok(Added::Done) };
        let metadata = file.metadata()?;
        if metadata.nlink() > 1 {
            let key = (metadata.dev(), metadata.ino());
            if let Some(target) = self.links.get(&key) {
                let kind = Kind::HardLink { target: target.clone() };
                let entry = entry(found.path, &found.stat, kind);
                self.count(0);
                self.writer.entry(&entry)?;
                return Ok(Added::Done);
            }
        }
        if holes(&file, &metadata)? > MOST_HOLES {
            let held = metadata.blocks() * 512;
            return Ok(Added::LeftOut(format!(
                "of its {} bytes it holds {held}, the rest is a hole",
                metadata.len()
            )));
        }
        if metadata.nlink() > 1 {
            self.links.insert((metadata.dev(), metadata.ino()), found.path.to_vec());
        }
        self.content(found, &mut file, metadata.len())
    }

    fn content(&mut self, found: &Found<'_>, file: &mut File, size: u64) -> Result<Added> {
        let mut entry = entry(found.path, &nix::sys::stat::fstat(&*file)?, Kind::File { size });
        entry.xattrs = user_attributes(file)?;
        self.count(size);
        self.writer.entry(&entry)?;
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let length = file.read(&mut self.buffer[..most])?;
            ensure!(length > 0, "it became shorter while it was read");
            self.writer.content(&self.buffer[..length])?;
            left -= length as u64;
        }
        Ok(Added::Done)
    }

    fn count(&mut self, bytes: u64) {
        self.amount.entries += 1;
        self.amount.bytes += bytes;
    }
}

fn entry(path: &[u8], stat: &FileStat, kind: Kind) -> Entry {
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Entry {
        path: path.to_vec(),
        kind,
        mode: permissions(stat) & 0o777,
        uid: 0,
        gid: 0,
        uname: Vec::new(),
        gname: Vec::new(),
        mtime: Time { seconds: stat.st_mtime, nanos },
        xattrs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_with_the_directories_above_it() {
        let chosen = Chosen::Named(vec![b"cargo/registry".to_vec(), b"sources".to_vec()]);
        for (path, file_type, has) in [
            ("cargo", FileType::Directory, true),
            ("cargo/registry/cache/x", FileType::File, true),
            ("cargo/git", FileType::Directory, false),
            // A file at the top that is no source.
            ("cargo", FileType::File, false),
            ("sha256:00", FileType::File, true),
            ("pip", FileType::Directory, false),
            ("pip/x", FileType::File, false),
        ] {
            assert_eq!(chosen.has(path.as_bytes(), file_type), has, "{path}");
        }
    }
}
