//! Writes validated entries as a pax archive: the same entries give the same bytes, on every host and at any time.

use std::io::{Result, Write};

use tar::{EntryType, Header};

use super::{
    entry::{Entry, Kind},
    pax,
};

const BLOCK: u64 = 512;

/// An archive that is being written.
pub(crate) struct Writer<W> {
    out: W,
    /// Zeros that the current entry still needs.
    padding: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, padding: 0 }
    }

    /// Starts an entry; the content of a file is written with [`Self::content`] after it.
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.pad()?;
        let mut records = Vec::new();
        let mut header = header(entry, &mut records);
        if !records.is_empty() {
            self.extension(&records)?;
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        if let Kind::File { size } = entry.kind {
            self.padding = size.wrapping_neg() % BLOCK;
        }
        Ok(())
    }

    /// The next piece of the current entry's content. Its pieces must add up to the entry's size.
    pub(crate) fn content(&mut self, piece: &[u8]) -> Result<()> {
        self.out.write_all(piece)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.pad()?;
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        Ok(self.out)
    }

    fn extension(&mut self, records: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        put(&mut header.as_old_mut().name, b"PaxHeader");
        header.set_entry_type(EntryType::XHeader);
        header.set_size(records.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.padding = (records.len() as u64).wrapping_neg() % BLOCK;
        self.pad()
    }

    fn pad(&mut self) -> Result<()> {
        let zeros = [0; BLOCK as usize];
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(&zeros[..padding as usize])
    }
}

/// The fixed header; values that do not fit go to `records`.
fn header(entry: &Entry, records: &mut Vec<u8>) -> Header {
    let Entry { path, kind, mode, uid, gid, uname: _, gname: _, mtime, xattrs } = entry;
    let mut header = Header::new_ustar();
    let (entry_type, size, target) = match kind {
        Kind::File { size } => (EntryType::Regular, *size, &[][..]),
        Kind::Directory => (EntryType::Directory, 0, &[][..]),
        Kind::Symlink { target } => (EntryType::Symlink, 0, &target[..]),
        Kind::HardLink { target } => (EntryType::Link, 0, &target[..]),
        Kind::Fifo => (EntryType::Fifo, 0, &[][..]),
        Kind::Whiteout => (EntryType::Char, 0, &[][..]),
    };
    let mut name = path.clone();
    if *kind == Kind::Directory {
        name.push(b'/');
    }
    header.set_entry_type(entry_type);
    header.set_mode(*mode);
    header.set_device_major(0).expect("a ustar header has device numbers");
    header.set_device_minor(0).expect("a ustar header has device numbers");
    if !put(&mut header.as_old_mut().name, &name) {
        pax::append(records, b"path", &name);
    }
    if !put(&mut header.as_old_mut().linkname, target) {
        pax::append(records, b"linkpath", target);
    }
    header.set_size(fitting(size, 11, b"size", records));
    header.set_uid(fitting(u64::from(*uid), 7, b"uid", records));
    header.set_gid(fitting(u64::from(*gid), 7, b"gid", records));
    let seconds = u64::try_from(mtime.seconds).ok().filter(|seconds| seconds >> 33 == 0);
    header.set_mtime(seconds.unwrap_or(0));
    if seconds.is_none() || mtime.nanos != 0 {
        pax::append(records, b"mtime", pax::time_text(*mtime).as_bytes());
    }
    for (name, value) in xattrs {
        pax::append_xattr(records, name, value);
    }
    header
}

/// The number for a field of so many octal digits; one that does not fit goes to `records`, and the field is 0.
fn fitting(number: u64, digits: u32, key: &[u8], records: &mut Vec<u8>) -> u64 {
    if number >> (3 * digits) == 0 {
        return number;
    }
    pax::append(records, key, number.to_string().as_bytes());
    0
}

/// Puts a name into a field; false if the field is too short for all of it.
fn put(field: &mut [u8], name: &[u8]) -> bool {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    length == name.len()
}
