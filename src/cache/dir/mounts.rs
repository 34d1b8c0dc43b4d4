//! The mounts below a directory: no entry can be renamed into another mount.
//!
//! The kernel's own list is read, since a directory that is bound onto itself has the same device and is another mount.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

use anyhow::{Context, Result};

use super::is_below;
use crate::process::mount_points;

/// Of the calling thread, which may be in a mount namespace of its own (proc_pid_mountinfo(5)).
const LIST: &str = "/proc/thread-self/mountinfo";

/// Paths of mounts, relative to the directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Mounts(Vec<Vec<u8>>);

impl Mounts {
    /// Those below `directory`, which is absolute and has no links in it.
    pub(in crate::cache) fn below(directory: &Path) -> Result<Self> {
        let list = fs::read(LIST).with_context(|| format!("read {LIST}"))?;
        Ok(Self::parse(&list, directory.as_os_str().as_bytes()))
    }

    fn parse(list: &[u8], directory: &[u8]) -> Self {
        let relative = |point: Vec<u8>| {
            let rest = point.strip_prefix(directory)?.strip_prefix(b"/")?;
            (!rest.is_empty()).then(|| rest.to_vec())
        };
        Self(mount_points(list).filter_map(relative).collect())
    }

    /// The mount that an entry at `path` lies in: nothing can be renamed to it.
    pub(in crate::cache) fn around(&self, path: &[u8]) -> Option<&[u8]> {
        self.find(|mount| is_below(path, mount) && path != mount)
    }

    /// The mount at `path` or below: the entry can be neither replaced nor removed.
    pub(in crate::cache) fn within(&self, path: &[u8]) -> Option<&[u8]> {
        self.find(|mount| is_below(mount, path))
    }

    fn find(&self, is_it: impl Fn(&[u8]) -> bool) -> Option<&[u8]> {
        self.0.iter().map(Vec::as_slice).find(|mount| is_it(mount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_are_found_by_any_name() {
        let list = b"22 1 8:1 / / rw - ext4 /dev/a rw\n\
            30 22 8:2 / /a\\040b/cache rw shared:1 - ext4 /dev/b rw\n\
            31 30 8:1 /x /a\\040b/cache/pip/in\\134ner rw - ext4 /dev/a rw\n\
            32 22 8:1 / /a\\040b/cache-2/pip rw - ext4 /dev/a rw\n";
        let mounts = Mounts::parse(list, b"/a b/cache");
        assert_eq!(mounts, Mounts(vec![b"pip/in\\ner".to_vec()]));
        for (path, around, within) in [
            ("pip", false, true),
            ("pip/in\\ner", false, true),
            ("pip/in\\ner/x", true, false),
            ("pip/inner", false, false),
            ("uv", false, false),
        ] {
            let path = path.as_bytes();
            assert_eq!((mounts.around(path).is_some(), mounts.within(path).is_some()), (around, within));
        }
    }
}
