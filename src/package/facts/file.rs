//! The facts of one entry of a package.

use std::{mem::size_of, sync::Arc};

use super::{elf::Elf, pkg_config::PkgConfig};

/// One entry of a package.
///
/// There may be millions: 64 bytes and the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Relative to the package's root: no slash at either end, no `.` and `..`.
    pub path: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// The permission bits with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    /// In bytes; 0 for what is not a regular file.
    pub size: u64,
    /// What [`super::examine`] found in the content. The names of a file with several hard links share it.
    pub special: Option<Arc<Special>>,
}

/// The kinds of entries that packages have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular {
        /// The digest of the content.
        sha1: Option<[u8; 20]>,
    },
    /// One more name of a regular file, whose content has been seen under the first name.
    HardLink {
        /// The digest of the content.
        sha1: Option<[u8; 20]>,
    },
    /// A symbolic link.
    Symlink {
        /// As it stands in the link.
        target: Box<[u8]>,
    },
    /// A named pipe.
    Fifo,
}

/// What only few files have. An entry without any has no `Special`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Special {
    /// The file starts with ELF's magic number: its facts, or why it cannot be read.
    pub elf: Option<Result<Elf, Box<str>>>,
    /// At most 80 bytes of a script in a directory for commands, up to the end of the line, without `#!`.
    pub shebang: Option<Box<[u8]>>,
    /// A file named `*.pc`: its facts, or why it cannot be read.
    pub pkg_config: Option<Result<PkgConfig, Box<str>>>,
    /// The absolute paths in a file of `etc/ld.so.conf.d`, without the first slash.
    pub library_directories: Box<[Box<[u8]>]>,
    /// The version of the Linux kernel in a file below `boot` or a directory of modules.
    pub linux_version: Option<Box<str>>,
    /// The version of the Linux kernel that a module is made for.
    pub vermagic: Option<Box<str>>,
}

impl FileFacts {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Whether it is a regular file, by its first name or another.
    pub fn is_regular(&self) -> bool {
        matches!(self.kind, Kind::Regular { .. } | Kind::HardLink { .. })
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        matches!(self.kind, Kind::Symlink { .. })
    }

    /// The digest of the content, if there is one.
    pub fn sha1(&self) -> Option<[u8; 20]> {
        match self.kind {
            Kind::Regular { sha1 } | Kind::HardLink { sha1 } => sha1,
            Kind::Directory | Kind::Symlink { .. } | Kind::Fifo => None,
        }
    }

    /// The target of a symbolic link, as it stands in the link.
    pub fn target(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Symlink { target } => Some(target),
            Kind::Directory | Kind::Regular { .. } | Kind::HardLink { .. } | Kind::Fifo => None,
        }
    }

    /// The ELF facts of a regular file that can be read as ELF.
    pub fn elf(&self) -> Option<&Elf> {
        if !self.is_regular() {
            return None;
        }
        self.special.as_ref()?.elf.as_ref()?.as_ref().ok()
    }
}

impl Special {
    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        let Self { elf, shebang, pkg_config, library_directories, linux_version, vermagic } = self;
        let elf = match elf {
            Some(Ok(elf)) => elf.bytes(),
            Some(Err(why)) => why.len(),
            None => 0,
        };
        let pkg_config = match pkg_config {
            Some(Ok(pkg_config)) => pkg_config.bytes(),
            Some(Err(why)) => why.len(),
            None => 0,
        };
        let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        size_of::<Self>()
            + elf
            + pkg_config
            + shebang.as_ref().map_or(0, |line| line.len())
            + library_directories.iter().map(|line| line.len() + size_of::<Box<[u8]>>()).sum::<usize>()
            + length(linux_version)
            + length(vermagic)
    }
}
