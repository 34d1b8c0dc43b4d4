//! The data section of a package, written as the stream leaves the guest.

use std::{collections::BTreeMap, fs::File, io};

use data_encoding::HEXLOWER;
use sha1::{Digest, Sha1};

use super::{
    addition::{AddedFile, Addition, Additions},
    attributes::{check_name, header, xattr_key, xattrs},
    held::Holder,
    order::Sequence,
};
use crate::{
    apk::{
        member,
        section::DATA_MAX,
        ustar::{self, CHECKSUM_RECORD, Records},
    },
    exit::{Code, Failure},
    package::{
        artifact::Normalization,
        digest::Hashed,
        entry::{Entry, Kind},
        facts::{self, FileFacts, PackageFacts},
        fault::Fault,
        splitter::Archive,
        staged_file::{Directory, Staged},
    },
    plan::FileCapability,
};

/// What a directory counts in the installed size of a package, in bytes: its size on ext4. The number must not depend on the
/// file system of the build.
const DIRECTORY_SIZE: u64 = 4096;

/// The data section that is being written.
pub(in crate::package) struct DataSection<'a> {
    writer: ustar::Writer<member::Writer<Hashed<File>>>,
    staged: Staged,
    normalization: Normalization,
    holder: Holder<'a>,
    /// The file whose content is being held, and the records of its attributes.
    current: Option<(Entry, Records)>,
    sequence: Sequence,
    additions: Additions,
    /// Values of `security.capability` by path, of files that have not come yet.
    capabilities: BTreeMap<Vec<u8>, [u8; 24]>,
    facts: PackageFacts,
    installed: u64,
    entries: u64,
}

/// A finished data section.
pub(in crate::package) struct Data {
    /// Its file.
    pub(in crate::package) staged: Staged,
    /// The SHA-256 of the compressed section.
    pub(in crate::package) sha256: [u8; 32],
    /// Bytes of the compressed section.
    pub(in crate::package) bytes: u64,
    /// What linters and generators of dependencies have to know of the files of the build.
    pub(in crate::package) facts: PackageFacts,
    /// What the files take where the package is installed, in bytes.
    pub(in crate::package) installed: u64,
    /// How many files, links and directories it holds.
    pub(in crate::package) entries: u64,
}

impl Archive for DataSection<'_> {
    type Finished = Data;

    fn entry(&mut self, entry: Entry) -> Result<(), Fault> {
        self.end_file()?;
        self.sequence.admit(&entry)?;
        check_name(&entry.path)?;
        self.count(&entry)?;
        let mut made = header(&entry, self.normalization)?;
        let records = xattrs(&entry)?;
        for addition in self.additions.before(&entry)? {
            self.add(addition)?;
        }
        match &entry.kind {
            Kind::File { size } => {
                self.holder.start(*size)?;
                self.current = Some((entry, records));
                return Ok(());
            }
            Kind::Symlink { target } => made.records = checksum(&Sha1::digest(target)),
            Kind::Directory | Kind::HardLink { .. } | Kind::Fifo | Kind::Whiteout => {}
        }
        self.writer.entry(&made)?;
        let mode = made.mode;
        self.remember(entry, mode, None)
    }

    fn content(&mut self, piece: &[u8]) -> Result<(), Fault> {
        Ok(self.holder.push(piece)?)
    }

    fn finish(mut self) -> Result<Data, Fault> {
        self.end_file()?;
        if let Some(path) = self.capabilities.keys().next() {
            return Err(Fault::Package(missing_file(path).into()));
        }
        for addition in self.additions.rest() {
            self.add(addition)?;
        }
        let (file, sha256, bytes) = self.writer.finish()?.finish()?.finish();
        drop(file);
        let Self { staged, facts, installed, entries, .. } = self;
        Ok(Data { staged, sha256, bytes, facts, installed, entries })
    }
}

impl<'a> DataSection<'a> {
    /// Starts the section of the package `name` in `out`. `capabilities` are those of the package's files.
    pub(in crate::package) fn start(
        name: &str,
        out: &'a Directory,
        normalization: Normalization,
        added: AddedFile,
        capabilities: &[FileCapability],
    ) -> io::Result<Self> {
        let staged = out.stage()?;
        let output = Hashed::new(staged.file().try_clone()?);
        let path = |file: &FileCapability| file.path.trim_start_matches('/').as_bytes().to_vec();
        Ok(Self {
            writer: ustar::Writer::new(member::Writer::new(output)),
            staged,
            normalization,
            holder: Holder::new(out),
            current: None,
            sequence: Sequence::default(),
            additions: Additions::of(added),
            capabilities: capabilities.iter().map(|file| (path(file), file.value())).collect(),
            facts: PackageFacts::new(name),
            installed: DIRECTORY_SIZE,
            entries: 0,
        })
    }

    /// Writes the file that is held.
    fn end_file(&mut self) -> Result<(), Fault> {
        let Some((entry, records)) = self.current.take() else { return Ok(()) };
        let mut made = header(&entry, self.normalization)?;
        let sha1 = self.holder.sha1();
        made.records = records;
        made.records.extend(checksum(&sha1));
        if let Some(value) = self.capabilities.remove(&entry.path) {
            made.records.insert(xattr_key(FileCapability::ATTRIBUTE.as_bytes()), value.to_vec());
        }
        self.writer.entry(&made)?;
        let Self { holder, writer, .. } = self;
        holder.replay(|piece| writer.content(piece))?;
        let mode = made.mode;
        self.remember(entry, mode, Some(sha1))
    }

    /// Keeps the facts of an entry; `sha1` is that of the content that is held.
    fn remember(&mut self, entry: Entry, mode: u32, sha1: Option<[u8; 20]>) -> Result<(), Fault> {
        let (kind, size) = match entry.kind {
            Kind::File { size } => (facts::Kind::Regular { sha1 }, size),
            Kind::Directory => (facts::Kind::Directory, 0),
            Kind::Symlink { target } => (facts::Kind::Symlink { target: target.into() }, 0),
            Kind::HardLink { .. } | Kind::Fifo | Kind::Whiteout => (facts::Kind::Fifo, 0),
        };
        let special = match sha1 {
            Some(_) => facts::examine(&entry.path, &mut self.holder.reader()?, size)?,
            None => None,
        };
        let file = FileFacts { path: entry.path.into(), kind, mode, size, special: special.map(Into::into) };
        self.facts.push(file).map_err(Fault::Package)
    }

    fn add(&mut self, addition: Addition) -> Result<(), Fault> {
        let mtime = self.normalization.mtime;
        self.entries += 1;
        match addition {
            Addition::Directory(path) => {
                self.installed += DIRECTORY_SIZE;
                let plain = ustar::Entry::plain(&path, 0o755, 0, mtime);
                self.writer.entry(&ustar::Entry { kind: ustar::Kind::Directory, ..plain })?;
            }
            Addition::File(AddedFile { path, content }) => {
                let size = content.len() as u64;
                self.installed += size;
                let records = checksum(&Sha1::digest(&content));
                self.writer
                    .entry(&ustar::Entry { records, ..ustar::Entry::plain(&path, 0o644, size, mtime) })?;
                self.writer.content(&content)?;
            }
        }
        Ok(())
    }

    /// Counts an entry. A section that readers would refuse for its size is refused here.
    fn count(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.entries += 1;
        let size = match &entry.kind {
            Kind::Directory => DIRECTORY_SIZE,
            Kind::File { size } => *size,
            Kind::Symlink { target } | Kind::HardLink { target } => target.len() as u64,
            Kind::Fifo | Kind::Whiteout => 0,
        };
        self.installed = self.installed.saturating_add(size);
        if self.installed > DATA_MAX {
            return Err(Fault::Refused(format!("with it the package is larger than {DATA_MAX} bytes")));
        }
        Ok(())
    }
}

/// The record of a digest.
fn checksum(sha1: &[u8]) -> Records {
    Records::from([(CHECKSUM_RECORD.as_bytes().to_vec(), HEXLOWER.encode(sha1).into_bytes())])
}

fn missing_file(path: &[u8]) -> Failure {
    let path = String::from_utf8_lossy(path);
    let what = format!("package.setcap: /{path} is not a file of the package");
    let way_out = "let the pipeline install the file there, or take the entry out of package.setcap";
    Failure::new(Code::Package, what, way_out)
}
