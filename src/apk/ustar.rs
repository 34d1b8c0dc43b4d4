//! The tar of packages and indexes, byte for byte as Go's `archive/tar` writes it when the format is left open: ustar where
//! an entry fits, pax records where it does not.
//!
//! Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header". Pure: bytes in, bytes out.

use std::{
    collections::BTreeMap,
    io::{Result, Write},
};

/// The unit of a tar stream, in bytes.
pub(crate) const BLOCK: usize = 512;

/// The fields of a header: the offset and length of each, in bytes.
const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
const SIZE: (usize, usize) = (124, 12);
const MTIME: (usize, usize) = (136, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const TYPE: usize = 156;
const LINKNAME: (usize, usize) = (157, 100);
/// `ustar`, a NUL, and the version `00`.
const MAGIC: (usize, &[u8; 8]) = (257, b"ustar\x0000");
const UNAME: (usize, usize) = (265, 32);
const GNAME: (usize, usize) = (297, 32);
const DEVMAJOR: (usize, usize) = (329, 8);
const DEVMINOR: (usize, usize) = (337, 8);
const PREFIX: (usize, usize) = (345, 155);

/// The longest user or group name that a header holds, in bytes, its NUL not counted.
pub(crate) const OWNER_NAME_MAX: usize = UNAME.1 - 1;

/// The pax record with the digest of a file's content, or of a symbolic link's target: lower-case hexadecimal digits.
pub(crate) const CHECKSUM_RECORD: &str = "APK-TOOLS.checksum.SHA1";

/// Before the name of an extended attribute in a pax record.
pub(crate) const XATTR_PREFIX: &str = "SCHILY.xattr.";

/// Pax records: their values by their keys.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// An entry of an archive, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Its name, without a slash at either end.
    pub(crate) name: &'a [u8],
    /// Its type.
    pub(crate) kind: Kind<'a>,
    /// Permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// The number of its owner.
    pub(crate) uid: u32,
    /// The number of its group.
    pub(crate) gid: u32,
    /// The name of its owner; empty if there is none.
    pub(crate) uname: &'a [u8],
    /// The name of its group; empty if there is none.
    pub(crate) gname: &'a [u8],
    /// Its modification time, in seconds since the epoch.
    pub(crate) mtime: i64,
    /// Further pax records, by their keys. A key has no `=` and no NUL.
    pub(crate) records: Records,
}

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// A regular file.
    File {
        /// The bytes of its content.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Its target, verbatim.
        target: &'a [u8],
    },
    /// A named pipe.
    Fifo,
}

impl<'a> Kind<'a> {
    fn flag(self) -> u8 {
        match self {
            Self::File { .. } => b'0',
            Self::Symlink { .. } => b'2',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }

    fn size(self) -> u64 {
        match self {
            Self::File { size } => size,
            Self::Directory | Self::Symlink { .. } | Self::Fifo => 0,
        }
    }

    fn target(self) -> &'a [u8] {
        match self {
            Self::Symlink { target } => target,
            Self::File { .. } | Self::Directory | Self::Fifo => b"",
        }
    }
}

impl<'a> Entry<'a> {
    /// A regular file of root without records: the entries of control sections, signatures and indexes.
    pub(crate) fn plain(name: &'a [u8], mode: u32, size: u64, mtime: i64) -> Self {
        let (uname, gname) = (&b"root"[..], &b"root"[..]);
        let kind = Kind::File { size };
        Self { name, kind, mode, uid: 0, gid: 0, uname, gname, mtime, records: Records::new() }
    }

    /// The blocks before the content: a pax header if the entry needs one, and its own header.
    pub(crate) fn blocks(&self) -> Vec<u8> {
        let split = split_name(self.name);
        let records = self.all_records(split.is_some());
        if records.is_empty() {
            let (prefix, name) = split.unwrap_or((b"", self.name));
            let mut block = self.own_block(name);
            put(&mut block, PREFIX, prefix);
            return seal(block).to_vec();
        }
        let mut body = Vec::new();
        for (key, value) in &records {
            record(&mut body, key, value);
        }
        let mut blocks = seal(extension(self.name, body.len() as u64)).to_vec();
        blocks.extend_from_slice(&body);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        blocks.extend_from_slice(&seal(self.own_block(&ascii(self.name))));
        blocks
    }

    /// All pax records. Without any, the header alone holds the entry.
    fn all_records(&self, can_split: bool) -> Records {
        let Self { name, kind, mode: _, uid, gid, uname, gname, mtime, records } = self;
        let mut overflow = Records::new();
        let texts = [
            (&b"path"[..], *name, NAME),
            (b"linkpath", kind.target(), LINKNAME),
            (b"uname", *uname, UNAME),
            (b"gname", *gname, GNAME),
        ];
        for (key, text, (_, length)) in texts {
            if text.len() > length || !is_ascii(text) {
                overflow.insert(key.to_vec(), text.to_vec());
            }
        }
        let size = i64::try_from(kind.size()).unwrap_or(i64::MAX);
        let numbers = [
            (&b"uid"[..], i64::from(*uid), UID),
            (b"gid", i64::from(*gid), GID),
            (b"size", size, SIZE),
            (b"mtime", *mtime, MTIME),
        ];
        for (key, number, (_, length)) in numbers {
            if !fits(number, length) {
                overflow.insert(key.to_vec(), number.to_string().into_bytes());
            }
        }
        // A name that is only too long for its field needs no record if the prefix holds the rest, and nothing else needs one.
        let only_name = overflow.keys().all(|key| key == b"path");
        if can_split && only_name && records.is_empty() {
            return Records::new();
        }
        let mut all = records.clone();
        all.extend(overflow);
        all
    }

    fn own_block(&self, name: &[u8]) -> [u8; BLOCK] {
        let Self { name: _, kind, mode, uid, gid, uname, gname, mtime, records: _ } = self;
        let mut block = [0; BLOCK];
        put(&mut block, NAME, name);
        put(&mut block, LINKNAME, &ascii(kind.target()));
        put(&mut block, UNAME, &ascii(uname));
        put(&mut block, GNAME, &ascii(gname));
        octal(&mut block, MODE, i64::from(*mode));
        octal(&mut block, UID, i64::from(*uid));
        octal(&mut block, GID, i64::from(*gid));
        octal(&mut block, SIZE, i64::try_from(kind.size()).unwrap_or(i64::MAX));
        octal(&mut block, MTIME, *mtime);
        octal(&mut block, DEVMAJOR, 0);
        octal(&mut block, DEVMINOR, 0);
        block[TYPE] = kind.flag();
        block
    }
}

/// An archive that is being written. The pieces of a file's content must add up to its size.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    /// Zeros that the current entry still needs after its content.
    padding: usize,
}

impl<W: Write> Writer<W> {
    /// Writes nothing yet.
    pub(crate) fn new(out: W) -> Self {
        Self { out, padding: 0 }
    }

    /// Starts an entry.
    pub(crate) fn entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        self.pad()?;
        self.out.write_all(&entry.blocks())?;
        self.padding = padding(entry.kind.size());
        Ok(())
    }

    /// The next piece of the current file's content.
    pub(crate) fn content(&mut self, piece: &[u8]) -> Result<()> {
        self.out.write_all(piece)
    }

    /// Ends a section that has no end-of-archive blocks: a signature or a control section.
    pub(crate) fn finish_section(mut self) -> Result<W> {
        self.pad()?;
        Ok(self.out)
    }

    /// Ends an archive with two blocks of zeros.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.pad()?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn pad(&mut self) -> Result<()> {
        let zeros = [0; BLOCK];
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(&zeros[..padding])
    }
}

/// The zeros after content of `size` bytes: less than a block.
fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// The header of the pax records of an entry. Its name is for readers that do not know pax.
fn extension(name: &[u8], size: u64) -> [u8; BLOCK] {
    let base = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (directory, base) = name.split_at(base);
    let whole = ascii(&[directory, b"PaxHeaders.0/", base].concat());
    let cut = &whole[..whole.len().min(NAME.1)];
    let slashes = cut.iter().rev().take_while(|&&byte| byte == b'/').count();
    let mut block = [0; BLOCK];
    put(&mut block, NAME, &cut[..cut.len() - slashes]);
    for field in [MODE, UID, GID, MTIME] {
        octal(&mut block, field, 0);
    }
    octal(&mut block, SIZE, i64::try_from(size).unwrap_or(i64::MAX));
    block[TYPE] = b'x';
    block
}

/// Adds the magic and the checksum, for which its own field counts as blanks.
fn seal(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    let (at, magic) = MAGIC;
    block[at..at + magic.len()].copy_from_slice(magic);
    let (at, length) = CHECKSUM;
    block[at..at + length].fill(b' ');
    let sum: i64 = block.iter().map(|&byte| i64::from(byte)).sum();
    octal(&mut block, (at, length - 1), sum);
    block
}

/// Puts a text into a field, cut to its length.
fn put(block: &mut [u8; BLOCK], (at, length): (usize, usize), text: &[u8]) {
    let cut = text.len().min(length);
    block[at..at + cut].copy_from_slice(&text[..cut]);
    // Some readers take a file whose name field ends in a slash for a directory.
    if text.len() > length && block[at + length - 1] == b'/' {
        let name = &text[..length - 1];
        let slashes = name.iter().rev().take_while(|&&byte| byte == b'/').count();
        block[at + name.len() - slashes] = 0;
    }
}

/// Puts a number into a field, with a NUL at its end; 0 if it does not fit, since a pax record has it then.
fn octal(block: &mut [u8; BLOCK], (at, length): (usize, usize), number: i64) {
    let number = if fits(number, length) { number } else { 0 };
    let digits = length - 1;
    block[at..at + digits].copy_from_slice(format!("{number:0digits$o}").as_bytes());
    block[at + digits] = 0;
}

/// Whether a field of `length` bytes holds the number: octal digits and a NUL.
fn fits(number: i64, length: usize) -> bool {
    number >= 0 && number >> (3 * (length - 1)) == 0
}

/// A name in two parts, for the fields prefix and name; `None` if it fits the name's field or cannot be split.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME.1 || !is_ascii(name) {
        return None;
    }
    let longest = name.len().min(PREFIX.1 + 1);
    let slash = name[..longest].iter().rposition(|&byte| byte == b'/')?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (!prefix.is_empty() && !rest.is_empty() && rest.len() <= NAME.1).then_some((prefix, rest))
}

fn is_ascii(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte != 0 && byte.is_ascii())
}

/// A text without the bytes that a header cannot hold.
fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|&byte| byte != 0 && byte.is_ascii()).collect()
}

/// Appends a pax record, `LENGTH KEY=VALUE\n`, whose length counts its own digits.
fn record(body: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    body.extend_from_slice(length.to_string().as_bytes());
    for part in [&b" "[..], key, b"=", value, b"\n"] {
        body.extend_from_slice(part);
    }
}

#[cfg(test)]
#[path = "ustar_tests.rs"]
mod tests;
