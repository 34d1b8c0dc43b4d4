//! Reads the headers of a tar: where each entry's content lies, without reading the contents. All sections of packages and
//! indexes are read by it, in builds, in commands, and in roots that are made of packages.
//!
//! The tar is hostile: headers, names and their number are bounded, and what is odd is an error with the entry's name.

use std::{
    collections::BTreeMap,
    io::{BufRead, Cursor, Error, ErrorKind, Read, Result, Seek},
};

const BLOCK: u64 = 512;
/// The most bytes of the records before an entry: two paths, and attributes that Linux limits to 64 KiB each.
const MOST_RECORDS: u64 = 1 << 20;
/// The most entries of a package: more than the largest packages have.
const MOST_ENTRIES: usize = 1 << 20;
/// The most bytes of all names, link targets and records of a package in memory.
const MOST_TEXT: usize = 256 << 20;
/// What a record takes in memory besides its bytes. Without it, a record of one byte would count as nothing.
const RECORD: usize = 64;
/// The longest path, as Linux has it.
const PATH_MAX: usize = 4096;

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryType {
    File,
    HardLink,
    Symlink,
    Directory,
    /// One that packages cannot have, by its letter.
    Other(u8),
}

/// An entry of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryType,
    /// Permission bits and the three special bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// In seconds since the epoch.
    pub(crate) mtime: u64,
    /// The target of a link.
    pub(crate) target: Vec<u8>,
    /// The records of the extended header that are for this entry.
    pub(crate) records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first byte of the content in the tar.
    pub(crate) offset: u64,
    /// The bytes of the content.
    pub(crate) size: u64,
}

/// What extended headers say of the next entry.
#[derive(Default)]
struct Next {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    long_name: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
}

/// The entries of a tar of `length` bytes.
///
/// # Errors
/// `InvalidData` for what is not a tar, is cut off, or has more than a package may have.
pub(crate) fn entries(input: &mut (impl BufRead + Seek), length: u64) -> Result<Vec<Entry>> {
    let (mut entries, mut next, mut at, mut text) = (Vec::new(), Next::default(), 0, 0);
    while at < length {
        let mut block = [0; BLOCK as usize];
        input.read_exact(&mut block).map_err(cut_off)?;
        at += BLOCK;
        if block == [0; BLOCK as usize] {
            return only_zeros(&mut input.take(length - at)).map(|()| entries);
        }
        check_sum(&block)?;
        let kind = block[156];
        let size = match next.records.get(&b"size"[..]) {
            Some(size) if !is_extension(kind) => decimal(size)?,
            _ => number(field(&block, 124, 12))?,
        };
        let has_content = matches!(kind, b'0' | 0 | b'7') || is_extension(kind);
        let size = if has_content { size } else { 0 };
        let padded = size.checked_next_multiple_of(BLOCK).ok_or_else(|| invalid("an entry is too large"))?;
        let offset = at;
        at = at.checked_add(padded).filter(|at| *at <= length).ok_or_else(|| invalid("it is cut off"))?;
        if is_extension(kind) {
            extension(kind, size, input, &mut next)?;
            input.seek_relative((padded - size) as i64)?;
            continue;
        }
        let entry = entry(&block, kind, std::mem::take(&mut next), offset, size)?;
        text += entry.path.len() + entry.target.len();
        text += entry.records.iter().map(|(key, value)| RECORD + key.len() + value.len()).sum::<usize>();
        if entries.len() == MOST_ENTRIES || text > MOST_TEXT {
            return Err(invalid("it has too many entries"));
        }
        entries.push(entry);
        input.seek_relative(i64::try_from(padded).map_err(|_| invalid("an entry is too large"))?)?;
    }
    Ok(entries)
}

/// Readers disagree on entries behind a block of zeros: some stop there.
fn only_zeros(rest: &mut impl BufRead) -> Result<()> {
    loop {
        let piece = rest.fill_buf()?;
        if piece.iter().any(|byte| *byte != 0) {
            return Err(invalid("something follows its end"));
        }
        let length = piece.len();
        if length == 0 {
            return Ok(());
        }
        rest.consume(length);
    }
}

/// The content of an entry of a tar in memory.
pub(crate) fn content<'t>(tar: &'t [u8], entry: &Entry) -> &'t [u8] {
    let (start, size) = (usize::try_from(entry.offset).ok(), usize::try_from(entry.size).ok());
    start.zip(size).and_then(|(start, size)| tar.get(start..)?.get(..size)).unwrap_or_default()
}

/// The entries of a tar in memory.
///
/// # Errors
/// As [`entries`].
pub(crate) fn entries_in_memory(tar: &[u8]) -> Result<Vec<Entry>> {
    entries(&mut Cursor::new(tar), tar.len() as u64)
}

/// Extended headers for the next entry (x), for all (g), and GNU's long names (L, K).
fn is_extension(kind: u8) -> bool {
    matches!(kind, b'x' | b'g' | b'L' | b'K')
}

fn extension(kind: u8, size: u64, input: &mut impl BufRead, next: &mut Next) -> Result<()> {
    if size > MOST_RECORDS {
        return Err(invalid("the header of an entry is too large"));
    }
    let mut content = Vec::new();
    input.by_ref().take(size).read_to_end(&mut content)?;
    if content.len() as u64 != size {
        return Err(invalid("it is cut off"));
    }
    let name = || content.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    match kind {
        b'L' => next.long_name = Some(name()),
        b'K' => next.long_target = Some(name()),
        b'x' => next.records = records(&content)?,
        // Comments and the like; packages have none.
        _ => {}
    }
    Ok(())
}

/// `LENGTH KEY=VALUE\n`, with the length of all of it.
fn records(mut content: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let malformed = || invalid("an extended header is malformed");
    let mut records = BTreeMap::new();
    while !content.is_empty() {
        let blank = content.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let length = decimal(content.get(..blank).unwrap_or_default())?;
        let length = usize::try_from(length).map_err(|_| malformed())?;
        let (record, rest) = content.split_at_checked(length).ok_or_else(malformed)?;
        let record = record.get(blank + 1..).and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or_else(malformed)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        let (key, value) = record.split_at(equals);
        records.insert(key.to_vec(), value.get(1..).unwrap_or_default().to_vec());
        content = rest;
    }
    Ok(records)
}

fn entry(block: &[u8], kind: u8, next: Next, offset: u64, size: u64) -> Result<Entry> {
    let Next { records, long_name, long_target } = next;
    let record = |key: &[u8]| records.get(key).cloned();
    let path = record(b"path").or(long_name).unwrap_or_else(|| plain_name(block));
    let target = record(b"linkpath").or(long_target).unwrap_or_else(|| text(field(block, 157, 100)));
    if path.len() > PATH_MAX || target.len() >= PATH_MAX {
        return Err(invalid("a path is longer than 4096 bytes"));
    }
    let id = |key: &[u8], at| -> Result<u32> {
        let value = record(key).map_or_else(|| number(field(block, at, 8)), |text| decimal(&text))?;
        u32::try_from(value).map_err(|_| invalid("an owner is not a number of 32 bits"))
    };
    let mtime = match record(b"mtime") {
        // A fraction of a second is left out.
        Some(text) => decimal(text.split(|byte| *byte == b'.').next().unwrap_or_default())?,
        None => number(field(block, 136, 12))?,
    };
    let directory = path.ends_with(b"/");
    let kind = match kind {
        b'0' | 0 | b'7' if directory => EntryType::Directory,
        b'0' | 0 | b'7' => EntryType::File,
        b'1' => EntryType::HardLink,
        b'2' => EntryType::Symlink,
        b'5' => EntryType::Directory,
        other => EntryType::Other(other),
    };
    // Seven of twelve bits.
    let mode = (number(field(block, 100, 8))? & 0o7777) as u16;
    let (uid, gid) = (id(b"uid", 108)?, id(b"gid", 116)?);
    Ok(Entry { path, kind, mode, uid, gid, mtime, target, records, offset, size })
}

fn plain_name(block: &[u8]) -> Vec<u8> {
    let name = text(field(block, 0, 100));
    let prefix = text(field(block, 345, 155));
    // GNU's headers have times in place of the prefix.
    let is_posix = field(block, 257, 6) == b"ustar\0";
    if is_posix && !prefix.is_empty() { [prefix, name].join(&b'/') } else { name }
}

fn field(block: &[u8], at: usize, length: usize) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

fn text(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// Octal digits, or GNU's binary numbers.
fn number(field: &[u8]) -> Result<u64> {
    let malformed = || invalid("a number of a header is malformed");
    if let Some((0x80, rest)) = field.split_first().map(|(first, rest)| (*first, rest)) {
        return rest.iter().try_fold(0_u64, |value, byte| {
            value.checked_mul(256).map(|value| value | u64::from(*byte)).ok_or_else(malformed)
        });
    }
    let digits = field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| ![0, b' '].contains(*byte));
    digits.into_iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => {
            value.checked_mul(8).map(|value| value | u64::from(digit - b'0')).ok_or_else(malformed)
        }
        _ => Err(malformed()),
    })
}

fn decimal(text: &[u8]) -> Result<u64> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| invalid("a number of an extended header is malformed"))
}

fn check_sum(block: &[u8]) -> Result<()> {
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = field(block, 148, 8).iter().map(|byte| u64::from(*byte)).sum();
    if number(field(block, 148, 8))? != sum - own + 8 * u64::from(b' ') {
        return Err(invalid("the sum of a header is wrong"));
    }
    Ok(())
}

/// The error for content that is not what it should be.
pub(crate) fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

fn cut_off(error: Error) -> Error {
    if error.kind() == ErrorKind::UnexpectedEof { invalid("it is cut off") } else { error }
}

#[cfg(test)]
mod tests {
    use super::{entries_in_memory as read, *};

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind: tar::EntryType, content: &[u8], target: &str| {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_mode(0o4755);
            header.set_uid(7);
            header.set_gid(8);
            header.set_mtime(99);
            header.set_size(content.len() as u64);
            if target.is_empty() {
                builder.append_data(&mut header, path, content).expect("added");
            } else {
                builder.append_link(&mut header, path, target).expect("added");
            }
        };
        add("usr/", tar::EntryType::Directory, b"", "");
        add("usr/a", tar::EntryType::Regular, &[1; 600], "");
        add("usr/l", tar::EntryType::Symlink, b"", "a");
        add("usr/h", tar::EntryType::Link, b"", "usr/a");
        add(&format!("usr/{}", "n".repeat(200)), tar::EntryType::Regular, b"x", "");
        builder
            .append_pax_extensions([("SCHILY.xattr.user.x", &b"a=\nb"[..]), ("uid", b"70000")])
            .expect("added");
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        builder.append_data(&mut header, "with records", &b""[..]).expect("added");
        builder.into_inner().expect("ended")
    }

    #[test]
    fn entries_are_read_with_the_places_of_their_contents() {
        let bytes = sample();
        let entries = read(&bytes).expect("a tar");
        let kinds: Vec<_> = entries.iter().map(|entry| entry.kind).collect();
        let wanted = [
            EntryType::Directory,
            EntryType::File,
            EntryType::Symlink,
            EntryType::HardLink,
            EntryType::File,
            EntryType::File,
        ];
        assert_eq!(kinds, wanted);
        let file = &entries[1];
        assert_eq!((file.path.as_slice(), file.mode, file.uid, file.gid), (&b"usr/a"[..], 0o4755, 7, 8));
        assert_eq!((file.mtime, file.size), (99, 600));
        assert_eq!(bytes[file.offset as usize..][..600], [1; 600]);
        assert_eq!((entries[2].target.as_slice(), entries[3].target.as_slice()), (&b"a"[..], &b"usr/a"[..]));
        assert_eq!((entries[4].path.len(), bytes[entries[4].offset as usize]), (204, b'x'));
        assert_eq!(
            (entries[5].records[&b"SCHILY.xattr.user.x"[..]].as_slice(), entries[5].uid),
            (&b"a=\nb"[..], 70_000)
        );
        assert_eq!(entries[4].records.len(), 0, "records are for one entry");
    }

    #[test]
    fn what_is_damaged_or_cut_off_is_an_error() {
        let bytes = sample();
        for length in (1..bytes.len() - 1024).step_by(100) {
            let cut = read(&bytes[..length]);
            assert!(length % 512 == 0 || cut.is_err(), "cut off after {length} bytes");
        }
        for at in [0, 100, 124, 148, 156, 257] {
            let mut changed = bytes.clone();
            changed[at] ^= 0x15;
            assert_eq!(read(&changed).expect_err("damaged").kind(), ErrorKind::InvalidData, "{at}");
        }
    }

    #[test]
    fn nothing_but_zeros_follows_the_end() {
        let whole = sample();
        assert_eq!(read(&[whole.as_slice(), &[0; 10_240]].concat()).expect("padded").len(), 6);
        for rest in [&whole[..], &[1], &[0, 0, 1]] {
            let error = read(&[whole.as_slice(), rest].concat()).expect_err("it goes on");
            assert_eq!(error.to_string(), "something follows its end");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_tar_is_too_odd(bytes: Vec<u8>, at in 0..3072_usize, changed: u8) {
            drop(read(&bytes));
            // A header that is right but for one byte, and its sum.
            let mut tar = sample();
            tar[at] = changed;
            for block in tar.chunks_exact_mut(512).take(6) {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            if let Ok(entries) = read(&tar) {
                for entry in entries {
                    proptest::prop_assert!(entry.offset + entry.size <= tar.len() as u64);
                }
            }
        }
    }

    #[test]
    fn numbers_and_records_that_are_malformed_are_errors() {
        for field in [&b"9"[..], b"-1", b"7777777777777777777777777", &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(number(field).is_err(), "{field:?}");
        }
        assert_eq!(number(b" 17\0").expect("octal"), 0o17);
        assert_eq!(number(&[0x80, 0, 1, 0]).expect("binary"), 256);
        for content in ["x", "5 a", "99 a=b\n", "0 a=b\n", "6 ab\n", "4294967296 a=b\n", "6 a=b!"] {
            assert!(records(content.as_bytes()).is_err(), "{content}");
        }
    }
}
