//! One tar header: ustar, with pax records (POSIX.1-2001, pax(1)) for values that do not fit. Pure.

use tar::{EntryType, Header};

/// The unit of a tar stream.
pub(crate) const BLOCK: usize = 512;

/// The longest name and link target of a plain header.
const SHORT: usize = 100;

/// Numbers from here on do not fit the seven octal digits of ustar's uid and gid.
const BIG_ID: u32 = 0o10_000_000;

/// Numbers from here on do not fit the eleven octal digits of ustar's size and mtime.
const BIG: i64 = 0o100_000_000_000;

/// The content of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative path; any bytes but NUL.
    pub(crate) path: Vec<u8>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Permission bits, set-id and sticky among them.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// The owner's name; empty without one.
    pub(crate) uname: Vec<u8>,
    /// The group's name; empty without one.
    pub(crate) gname: Vec<u8>,
    /// Last change of its content: seconds and nanoseconds since the epoch.
    pub(crate) mtime: (i64, i64),
    /// Extended attributes, in order.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The kind of an entry and what belongs to it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File { size: u64 },
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
    Fifo,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
}

impl Kind {
    fn entry_type(&self) -> EntryType {
        match self {
            Self::Directory => EntryType::Directory,
            Self::File { .. } => EntryType::Regular,
            Self::Symlink { .. } => EntryType::Symlink,
            Self::HardLink { .. } => EntryType::Link,
            Self::Fifo => EntryType::Fifo,
            Self::CharDevice { .. } => EntryType::Char,
            Self::BlockDevice { .. } => EntryType::Block,
        }
    }

    fn link_target(&self) -> &[u8] {
        match self {
            Self::Symlink { target } | Self::HardLink { target } => target,
            Self::Directory
            | Self::File { .. }
            | Self::Fifo
            | Self::CharDevice { .. }
            | Self::BlockDevice { .. } => &[],
        }
    }
}

/// The header blocks of an entry: its pax header, if it needs one, and its own.
pub(crate) fn blocks(entry: &Entry) -> Vec<u8> {
    let mut blocks = Vec::new();
    let records = records(entry);
    if !records.is_empty() {
        let mut pax = Header::new_ustar();
        pax.set_entry_type(EntryType::XHeader);
        put(&mut pax.as_old_mut().name, b"pax");
        pax.set_mode(0o644);
        pax.set_size(records.len() as u64);
        pax.set_cksum();
        blocks.extend_from_slice(pax.as_bytes());
        blocks.extend_from_slice(&records);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    }
    blocks.extend_from_slice(own_header(entry).as_bytes());
    blocks
}

fn own_header(entry: &Entry) -> Header {
    let Entry { path, kind, mode, uid, gid, uname, gname, mtime: (seconds, _), xattrs: _ } = entry;
    let mut header = Header::new_ustar();
    header.set_entry_type(kind.entry_type());
    put(&mut header.as_old_mut().name, path);
    put(&mut header.as_old_mut().linkname, kind.link_target());
    header.set_mode(*mode);
    // A number that does not fit is in a pax record, and 0 here.
    header.set_uid(u64::from(if *uid < BIG_ID { *uid } else { 0 }));
    header.set_gid(u64::from(if *gid < BIG_ID { *gid } else { 0 }));
    header.set_mtime(if (0..BIG).contains(seconds) { seconds.unsigned_abs() } else { 0 });
    header.set_size(match kind {
        Kind::File { size } if *size < BIG.unsigned_abs() => *size,
        _ => 0,
    });
    if let Some(ustar) = header.as_ustar_mut() {
        put(&mut ustar.uname, uname);
        put(&mut ustar.gname, gname);
        if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = kind {
            ustar.set_device_major(*major);
            ustar.set_device_minor(*minor);
        }
    }
    header.set_cksum();
    header
}

/// As many bytes as the field holds.
fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// The pax records of values that do not fit the plain header.
fn records(entry: &Entry) -> Vec<u8> {
    let Entry { path, kind, mode: _, uid, gid, uname: _, gname: _, mtime, xattrs } = entry;
    let (seconds, nanoseconds) = mtime;
    let mut records = Vec::new();
    if !is_plain(path) {
        record(&mut records, b"path", path);
    }
    if !is_plain(kind.link_target()) {
        record(&mut records, b"linkpath", kind.link_target());
    }
    if *nanoseconds != 0 || !(0..BIG).contains(seconds) {
        record(&mut records, b"mtime", decimal(*seconds, *nanoseconds).as_bytes());
    }
    for (key, id) in [(b"uid", uid), (b"gid", gid)] {
        if *id >= BIG_ID {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    match kind {
        Kind::File { size } if *size >= BIG.unsigned_abs() => {
            record(&mut records, b"size", size.to_string().as_bytes());
        }
        _ => {}
    }
    for (name, value) in xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Whether a plain header can hold this name.
fn is_plain(name: &[u8]) -> bool {
    name.len() <= SHORT && name.is_ascii()
}

/// Seconds as pax writes them: the fraction of a negative time counts away from zero.
fn decimal(seconds: i64, nanoseconds: i64) -> String {
    if seconds < 0 && nanoseconds > 0 {
        let (seconds, nanoseconds) = (-(seconds + 1), 1_000_000_000 - nanoseconds);
        return format!("-{seconds}.{nanoseconds:09}");
    }
    format!("{seconds}.{nanoseconds:09}")
}

/// `length key=value\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(&[key, b"=", value, b"\n"].concat());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for (value, expected) in [(91, "99 "), (92, "101 "), (93, "102 ")] {
            let mut records = Vec::new();
            record(&mut records, b"key", &vec![b'x'; value]);
            let announced: usize = expected.trim().parse().expect("a number");
            assert!(records.starts_with(expected.as_bytes()), "{:?}", String::from_utf8_lossy(&records));
            assert_eq!(records.len(), announced);
        }
    }

    #[test]
    fn times_are_decimal_seconds() {
        assert_eq!(decimal(5, 7), "5.000000007");
        assert_eq!(decimal(-1, 500_000_000), "-0.500000000");
        assert_eq!(decimal(-3, 0), "-3.000000000");
    }

    #[test]
    fn values_that_fit_need_no_pax_header() {
        let entry = Entry {
            path: b"usr/bin".to_vec(),
            kind: Kind::Directory,
            mode: 0o755,
            uid: BIG_ID - 1,
            gid: 0,
            uname: b"builder".to_vec(),
            gname: b"root".to_vec(),
            mtime: (1, 0),
            xattrs: Vec::new(),
        };
        assert_eq!(&blocks(&entry)[265..273], b"builder\0");
        assert_eq!(&blocks(&entry)[297..302], b"root\0");
        assert_eq!(blocks(&entry).len(), BLOCK);
        assert_eq!(blocks(&Entry { uid: BIG_ID, ..entry }).len(), 3 * BLOCK);
    }
}
