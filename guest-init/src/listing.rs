//! Which files of an overlay's upper directory differ from the lower ones, for an export of names and sizes only.
//!
//! A file whose times were set, or that was opened for writing, is a copy of the lower one. In an overlay with `metacopy` such a
//! file has no data.

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

/// How many bytes are compared in all, since the lower layer may be a share. Beyond that, files of the same size count as copies.
const MOST_COMPARED: u64 = 64 << 20;

/// How many bytes are compared at once.
const PIECE: usize = 64 << 10;

/// A listing under way.
pub(crate) struct Listing {
    /// The lower layer; `None` where the host has mounted the overlay.
    lower: Option<OwnedFd>,
    /// How many bytes may still be compared.
    left: u64,
}

impl Listing {
    pub(crate) fn new(lower: Option<OwnedFd>) -> Self {
        Self { lower, left: MOST_COMPARED }
    }

    /// The attributes of a file that is listed; `None` for a copy of the lower file.
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

    /// Whether a file of the upper directory has the content of the lower one.
    fn is_copy(&mut self, file: &mut File, stat: &FileStat, path: &[u8]) -> Result<bool> {
        // A block may hold extended attributes and no data.
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
        // A lower file that cannot be opened cannot have been copied either.
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
