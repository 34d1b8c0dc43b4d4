//! The files of an overlay's lower directory that steps have removed or renamed: those under whiteouts of the upper one.

use std::{
    collections::HashMap,
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    dir::Dir,
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{FileStat, Mode, SFlag, fstatat},
};

use crate::before::{Layers, is_file, number, size};

/// The most entries that are looked at, and the greatest depth.
const MOST: usize = 200_000;
const DEPTH: usize = 128;

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The size of each hidden file by its inode number; `None` where there are too many entries.
pub(crate) fn hidden_files(layers: &Layers) -> Option<HashMap<u64, u64>> {
    let mut search = Search { files: HashMap::new(), left: MOST };
    let upper = layers.upper.try_clone().ok()?;
    let lower = layers.lower.try_clone().ok()?;
    search.upper(&upper, Some(&lower), DEPTH).map(|()| search.files)
}

struct Search {
    files: HashMap<u64, u64>,
    left: usize,
}

impl Search {
    /// A directory of the upper layer, and the lower one of the same path.
    fn upper(&mut self, upper: &OwnedFd, lower: Option<&OwnedFd>, depth: usize) -> Option<()> {
        for (name, stat) in self.entries(upper)? {
            match kind(&stat) {
                SFlag::S_IFCHR if stat.st_rdev == 0 => self.lower(lower?, &name, depth)?,
                SFlag::S_IFDIR => {
                    let below = lower.and_then(|lower| directory(lower, &name));
                    self.upper(&directory(upper, &name)?, below.as_ref(), depth.checked_sub(1)?)?;
                }
                _ => {}
            }
        }
        Some(())
    }

    /// A file of the lower layer, with everything below it.
    fn lower(&mut self, parent: &OwnedFd, name: &CStr, depth: usize) -> Option<()> {
        // kiln's own whiteouts may hide files that do not exist.
        let Some(stat) = look(parent, name) else { return Some(()) };
        if is_file(&stat) {
            self.files.insert(number(&stat), size(&stat));
        }
        if kind(&stat) != SFlag::S_IFDIR {
            return Some(());
        }
        let directory = directory(parent, name)?;
        for (name, _) in self.entries(&directory)? {
            self.lower(&directory, &name, depth.checked_sub(1)?)?;
        }
        Some(())
    }

    fn entries(&mut self, directory: &OwnedFd) -> Option<Vec<(std::ffi::CString, FileStat)>> {
        let listed = openat(directory, c".", DIRECTORY, Mode::empty()).ok()?;
        let mut found = Vec::new();
        for entry in Dir::from_fd(listed).ok()?.iter() {
            let name = entry.ok()?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                self.left = self.left.checked_sub(1)?;
                // A whiteout that is gone meanwhile hides nothing.
                found.extend(look(directory, &name).map(|stat| (name, stat)));
            }
        }
        Some(found)
    }
}

fn directory(parent: &OwnedFd, name: &CStr) -> Option<OwnedFd> {
    openat(parent, name, DIRECTORY, Mode::empty()).ok()
}

fn look(parent: &OwnedFd, name: &CStr) -> Option<FileStat> {
    fstatat(parent.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}
