//! The files that processes have open, for reading only, on some mounts: their event comes when they are closed.

use std::{
    fs, io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

/// The most descriptors that are looked at.
const MOST: usize = 100_000;

/// open(2)'s flags as proc(5) writes them, in octal.
const ACCESS_MODE: u32 = 0o3;
const READ_ONLY: u32 = 0o0;
const PATH_ONLY: u32 = 0o10_000_000;

/// The files that were found.
#[derive(Default)]
pub(crate) struct HeldOpen {
    pub(crate) files: Vec<OwnedFd>,
    /// Whether there were more descriptors than could be looked at.
    pub(crate) too_many: bool,
}

/// The number of the mount on which a file is open.
pub(crate) fn mount_of(file: BorrowedFd<'_>) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let info = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    field(&info, "mnt_id:").and_then(|id| id.parse().ok()).with_context(|| format!("{path} names no mount"))
}

/// Looks at all processes except this one.
pub(crate) fn held_open(mounts: &[u64]) -> HeldOpen {
    let (mut found, mut looks, own) = (HeldOpen::default(), 0, std::process::id());
    for process in numbers(Path::new("/proc")).filter(|&process| process != own) {
        let process = format!("/proc/{process}");
        for number in numbers(&Path::new(&process).join("fdinfo")) {
            if looks == MOST {
                found.too_many = true;
                return found;
            }
            looks += 1;
            // A file that was closed meanwhile has an event.
            let info = fs::read_to_string(format!("{process}/fdinfo/{number}"));
            if info.is_ok_and(|info| is_read(&info, mounts)) {
                found.files.extend(at(&format!("{process}/fd/{number}")));
            }
        }
    }
    found
}

fn at(path: &str) -> Option<OwnedFd> {
    open(Path::new(path), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()
}

/// The numeric entries of a directory; none if it is gone.
fn numbers(directory: &Path) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn is_read(info: &str, mounts: &[u64]) -> bool {
    let mount = field(info, "mnt_id:").and_then(|id| id.parse().ok());
    let flags = field(info, "flags:").and_then(|flags| u32::from_str_radix(flags, 8).ok());
    let for_reading = |flags: u32| flags & ACCESS_MODE == READ_ONLY && flags & PATH_ONLY == 0;
    mount.is_some_and(|mount| mounts.contains(&mount)) && flags.is_some_and(for_reading)
}

fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_open_for_reading_on_a_watched_mount_count() {
        let info = |flags: &str, mount| format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t{mount}\nino:\t7\n");
        for (flags, mount, expected) in [
            ("0100000", 38, true),
            ("02100000", 39, true),
            ("0100000", 4, false),
            ("0100001", 38, false),
            ("0100002", 38, false),
            ("012000000", 38, false),
        ] {
            assert_eq!(is_read(&info(flags, mount), &[38, 39]), expected, "{flags} {mount}");
        }
        assert!(!is_read("", &[0]));
    }
}
