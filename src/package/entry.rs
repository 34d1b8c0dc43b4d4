//! One entry of an archive, as read and as written. Plain data: no descriptor, no body.

/// A file, link, directory or fifo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without a slash at the end. As read: from the root of the stream; as written: from the package's tree.
    pub path: Vec<u8>,
    /// Its type.
    pub kind: Kind,
    /// Permission bits, with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The owner's name, as the guest says; empty without one. As written, it is left out.
    pub uname: Vec<u8>,
    /// The group's name, as the guest says; empty without one. As written, it is left out.
    pub gname: Vec<u8>,
    /// When it was changed last.
    pub mtime: Time,
    /// Extended attributes: name and value, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The type of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Bytes of its content, which follow in the stream.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Its target, verbatim: data that is never followed.
        target: Vec<u8>,
    },
    /// A hard link to an earlier regular file.
    HardLink {
        /// The name of that file, from the same root as [`Entry::path`].
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// The character device 0:0: a whiteout of an overlay's upper directory.
    Whiteout,
}

/// A time stamp of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds since the epoch, rounded down.
    pub seconds: i64,
    /// And nanoseconds: less than 10^9.
    pub nanos: u32,
}
