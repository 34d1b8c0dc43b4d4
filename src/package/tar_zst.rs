//! A package as a plain archive, compressed with zstd: `--format tar.zst`.

use std::{fs::File, io};

use zstd::stream::write::Encoder;

use super::{
    artifact::Normalization,
    entry::{Entry, Time},
    fault::Fault,
    splitter::Archive,
    staged_file::{Directory, Staged},
    tree::Tree,
    writer::Writer,
};

/// zstd's default: 3 compresses faster than TCG delivers.
const LEVEL: i32 = 3;

/// The archive that is being written.
pub(super) struct TarZst {
    writer: Writer<Encoder<'static, File>>,
    staged: Staged,
    normalization: Normalization,
    tree: Tree,
    entries: u64,
}

/// A finished archive.
pub(super) struct Finished {
    /// Its file.
    pub(super) staged: Staged,
    /// How many entries it has.
    pub(super) entries: u64,
}

impl TarZst {
    /// The ending of the file's name.
    pub(super) const EXTENSION: &str = "tar.zst";

    /// Starts an archive in `out`.
    pub(super) fn start(out: &Directory, normalization: Normalization) -> io::Result<Self> {
        let staged = out.stage()?;
        let mut encoder = Encoder::new(staged.file().try_clone()?, LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self { writer: Writer::new(encoder), staged, normalization, tree: Tree::default(), entries: 0 })
    }
}

impl Archive for TarZst {
    type Finished = Finished;

    fn entry(&mut self, mut entry: Entry) -> Result<(), Fault> {
        let Normalization { mtime, build_uid, build_gid } = self.normalization;
        entry.mtime = Time { seconds: mtime, nanos: 0 };
        if entry.uid == build_uid {
            entry.uid = 0;
        }
        if entry.gid == build_gid {
            entry.gid = 0;
        }
        self.tree.admit(&entry)?;
        self.entries += 1;
        Ok(self.writer.entry(&entry)?)
    }

    fn content(&mut self, piece: &[u8]) -> Result<(), Fault> {
        Ok(self.writer.content(piece)?)
    }

    fn finish(self) -> Result<Finished, Fault> {
        let Self { writer, staged, normalization: _, tree: _, entries } = self;
        writer.finish().and_then(Encoder::finish).and_then(|file| file.sync_all())?;
        Ok(Finished { staged, entries })
    }
}
