//! What of an overlay's upper directory is other than what lies below it: for an export of names and sizes alone.
//!
//! A file that was only stamped, or opened for writing, is a copy of the lower one. So is, in an overlay with `metacopy`, one
//! that holds no data at all.

use std::{
    ffi::OsStr,
    fs::File,
    io::{ErrorKind, Read, Seek},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use anyhow::Result;
use kiln_protocol::{DIGEST, SIZE};
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{FileStat, SFlag, fstat},
    unistd::{Whence, lseek},
};
use sha1::{Digest, Sha1};

use crate::attributes::Attribute;

/// So many bytes are compared, in all: what lies below may be a share. Files beyond are taken for copies if their sizes are the same.
const MOST_COMPARED: u64 = 64 << 20;

/// So many at once.
const PIECE: usize = 64 << 10;

/// A listing under way.
pub(crate) struct Listing {
    /// What lies below; not known where another has made the overlay.
    lower: Option<OwnedFd>,
    /// How many bytes may still be compared.
    left: u64,
}

impl Listing {
    pub(crate) fn new(lower: Option<OwnedFd>) -> Self {
        Self { lower, left: MOST_COMPARED }
    }

    /// The attributes of a file that is listed; none of a copy of what lies below.
    pub(crate) fn attributes(
        &mut self,
        file: &mut File,
        stat: &FileStat,
        path: &[u8],
    ) -> Result<Option<Vec<Attribute>>> {
        if self.is_copy(file, stat, path)? {
            return Ok(None);
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let mut attributes = vec![(SIZE.as_bytes().to_vec(), size.to_string().into_bytes())];
        if let (None, Some(left)) = (&self.lower, self.left.checked_sub(size)) {
            self.left = left;
            attributes.push((DIGEST.as_bytes().to_vec(), digest(file)?));
        }
        Ok(Some(attributes))
    }

    /// Whether a file of the upper directory holds what the lower one holds in its place.
    fn is_copy(&mut self, file: &mut File, stat: &FileStat, path: &[u8]) -> Result<bool> {
        // A block of attributes is none of data.
        let has_data = || lseek(&*file, 0, Whence::SeekData) != Err(Errno::ENXIO);
        if stat.st_size > 0 && !has_data() {
            return Ok(true);
        }
        file.rewind()?;
        let Some(mut below) = self.below(path)? else { return Ok(false) };
        let found = fstat(&below)?;
        let is_file = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        if !is_file || found.st_size != stat.st_size {
            return Ok(false);
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let Some(left) = self.left.checked_sub(size) else { return Ok(true) };
        self.left = left;
        same(file, &mut below)
    }

    fn below(&self, path: &[u8]) -> Result<Option<File>> {
        let Some(lower) = &self.lower else { return Ok(None) };
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        // What cannot be opened there is nothing that a step could have copied.
        Ok(openat2(lower.as_fd(), OsStr::from_bytes(path), how).ok().map(File::from))
    }
}

fn digest(file: &mut File) -> Result<Vec<u8>> {
    let (mut hash, mut piece) = (Sha1::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().to_vec()),
            count => hash.update(&piece[..count]),
        }
    }
}

/// Whether two files hold the same bytes.
fn same(one: &mut File, other: &mut File) -> Result<bool> {
    let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let count = one.read(&mut ours)?;
        match other.read_exact(&mut theirs[..count]) {
            Ok(()) if ours[..count] != theirs[..count] => return Ok(false),
            Ok(()) if count == 0 => return Ok(true),
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}
