//! The packages that were fetched, by content: each is downloaded and unpacked once, for all builds.
//!
//! ```text
//! control/SHA1        the compressed control section of a package; SHA1 is what an index says of it
//! data/SHA256.tar     the data section, not compressed; SHA256 is what the control section says of the compressed one
//! data/SHA256.json    the SHA-256 and the length of that tar
//! remote/SHA256.kept  an index or key that was accepted, by its address
//! locks/SHA1          held while a package is fetched
//! lock                held, shared, while packages are used
//! ```
//!
//! Files come by a rename and never change. All of them are verified again when they are used.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Result, Seek, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use data_encoding::HEXLOWER;
use flate2::bufread::MultiGzDecoder;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{
    apk::{
        section::{CONTROL_MAX, DATA_MAX, Data, head},
        tar::{Entry, invalid},
    },
    image::kept::{self, Kept},
};

use super::package::{Control, Package, data_entries, read_all, verify_files};

/// The most bytes of a compressed control section.
const CONTROL_FILE_MAX: u64 = CONTROL_MAX + CONTROL_MAX / 8;
/// The directories with files that can be had again.
pub(super) const DIRECTORIES: [&str; 4] = ["control", "data", "remote", "locks"];
/// The prefix of files that are being written.
pub(super) const UNFINISHED: &str = ".new-";

/// The store below one directory.
#[derive(Debug)]
pub(super) struct PackageStore {
    root: PathBuf,
    /// While it is held, nothing is removed.
    _lock: Flock<File>,
}

/// What is noted of a tar.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Note {
    sha256: String,
    bytes: u64,
}

impl PackageStore {
    /// The store at `root`; makes its directories. Waits for a prune that is under way.
    pub(super) fn open(root: &Path) -> Result<Self> {
        for name in DIRECTORIES {
            fs::create_dir_all(root.join(name))?;
        }
        let file = kept::open_lock(&lock_path(root))?;
        let lock = Flock::lock(file, FlockArg::LockShared).map_err(|(_, error)| error)?;
        Ok(Self { root: root.into(), _lock: lock })
    }

    /// A file without a name, for a download.
    pub(super) fn scratch(&self) -> Result<File> {
        tempfile::tempfile_in(self.root.join("data"))
    }

    /// Waits until no other process fetches this package, and excludes others meanwhile.
    pub(super) fn lock(&self, control: [u8; 20]) -> Result<Flock<File>> {
        let path = self.root.join("locks").join(HEXLOWER.encode(&control));
        Flock::lock(kept::open_lock(&path)?, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
    }

    /// A package by the SHA-1 of its control section.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn get(&self, control: [u8; 20]) -> Result<Kept<Package>> {
        Kept::of(self.read(control))
    }

    fn read(&self, control: [u8; 20]) -> Result<Package> {
        let path = self.control_path(control);
        let control = self.read_control(&path, control)?;
        let (tar, note) = self.data_paths(&data_hash(&control)?);
        let (data, entries) = read_data(&tar, &note)?;
        for used in [&path, &tar, &note] {
            // best effort: a prune goes by the last use.
            let _ = kept::open(used).and_then(|file| file.set_modified(SystemTime::now()));
        }
        Ok(Package { control, data, entries })
    }

    fn read_control(&self, path: &Path, wanted: [u8; 20]) -> Result<Control> {
        let bytes = read_all(&mut kept::open(path)?, CONTROL_FILE_MAX)?;
        if <[u8; 20]>::from(Sha1::digest(&bytes)) != wanted {
            return Err(invalid("the control section is damaged"));
        }
        let mut tar = Vec::new();
        MultiGzDecoder::new(&bytes[..]).take(CONTROL_MAX + 1).read_to_end(&mut tar)?;
        Control::read(&tar)
    }

    /// Verifies a package file and keeps its parts. `wanted` is the SHA-1 that the index says of its control section.
    ///
    /// # Errors
    /// `InvalidData` for a file that is not the one of the index, or is damaged; then nothing of it is kept.
    pub(super) fn add(&self, file: &mut File, wanted: [u8; 20]) -> Result<()> {
        let mut input = BufReader::with_capacity(1 << 17, file);
        let head = head(&mut input, CONTROL_MAX)?;
        if <[u8; 20]>::from(Sha1::digest(&head.main.compressed)) != wanted {
            return Err(invalid("its control section is not the one of the index (C:)"));
        }
        let control = Control::read(&head.main.content)?;
        self.add_data(input, &data_hash(&control)?)?;
        self.write(&self.control_path(wanted), &head.main.compressed)
    }

    fn add_data(&self, input: impl BufRead, hash: &str) -> Result<()> {
        let (tar_path, note_path) = self.data_paths(hash);
        let mut unfinished = self.unfinished()?;
        let mut input = Hashing { input, hash: Sha256::new() };
        let mut data = Data::new(&mut input, DATA_MAX);
        let (mut buffer, mut bytes, mut sum) = (vec![0; 1 << 17], 0, Sha256::new());
        loop {
            let count = data.read(&mut buffer)?;
            let part = buffer.get(..count).unwrap_or_default();
            if part.is_empty() {
                break;
            }
            sum.update(part);
            unfinished.write_all(part)?;
            bytes += count as u64;
        }
        drop(data);
        if HEXLOWER.encode(&input.hash.finalize()) != hash {
            return Err(invalid("its data are not those of its .PKGINFO (datahash)"));
        }
        unfinished.rewind()?;
        let entries = data_entries(unfinished.as_file(), bytes)?;
        verify_files(unfinished.as_file(), &entries)?;
        let note = Note { sha256: HEXLOWER.encode(&sum.finalize()), bytes };
        kept::make_room(&tar_path)?;
        unfinished.persist(&tar_path).map_err(|error| error.error)?;
        self.write(&note_path, &serde_json::to_vec(&note)?)
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        let mut unfinished = self.unfinished()?;
        unfinished.write_all(content)?;
        kept::make_room(path)?;
        unfinished.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn unfinished(&self) -> Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(self.root.join("data"))
    }

    fn control_path(&self, control: [u8; 20]) -> PathBuf {
        self.root.join("control").join(HEXLOWER.encode(&control))
    }

    fn data_paths(&self, hash: &str) -> (PathBuf, PathBuf) {
        let data = self.root.join("data");
        (data.join(format!("{hash}.tar")), data.join(format!("{hash}.json")))
    }
}

/// The SHA-256 of the compressed data: it names files.
fn data_hash(control: &Control) -> Result<String> {
    let hash = &control.info.data_hash;
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid("its .PKGINFO has no datahash"));
    }
    Ok(hash.to_ascii_lowercase())
}

/// The lock that builds hold while they use packages.
pub(super) fn lock_path(root: &Path) -> PathBuf {
    root.join("lock")
}

/// The tar of a data section, if it is what the note says.
fn read_data(tar: &Path, note: &Path) -> Result<(File, Vec<Entry>)> {
    let note: Note = serde_json::from_slice(&read_all(&mut kept::open(note)?, 1 << 12)?)?;
    let mut data = kept::open(tar)?;
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 18], 0);
    while bytes <= note.bytes.min(DATA_MAX) {
        let count = data.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(buffer.get(..count).unwrap_or_default());
        bytes += count as u64;
    }
    if (HEXLOWER.encode(&hash.finalize()), bytes) != (note.sha256, note.bytes) {
        return Err(invalid("the data are damaged"));
    }
    data.rewind()?;
    let entries = data_entries(&data, bytes)?;
    Ok((data, entries))
}

/// An input that hashes what is consumed of it.
struct Hashing<R> {
    input: R,
    hash: Sha256,
}

impl<R: BufRead> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // The bytes are still in the buffer: nothing was read since they were handed out.
        if let Ok(available) = self.input.fill_buf() {
            self.hash.update(available.get(..count).unwrap_or(available));
        }
        self.input.consume(count);
    }
}
