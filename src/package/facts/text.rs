//! The first line of scripts, and the directories that files of `etc/ld.so.conf.d` name.

use std::io::{self, Read, Seek};

use super::{path::is_below, source::Source};

/// As much of a file as is searched for the end of its first line; a longer line is cut, as melange does.
pub(super) const FIRST_LINE_BYTES: usize = 80;
/// Directories for commands. Scripts elsewhere may be examples.
const SCRIPT_DIRECTORIES: [&str; 3] = ["usr/bin", "usr/local/bin", "usr/local/sbin"];
/// More of a file of `etc/ld.so.conf.d` is not read; real ones have some lines.
const MAX_CONFIGURATION_BYTES: usize = 64 << 10;
/// More directories of one file are not used.
const MAX_DIRECTORIES: usize = 256;
/// The longest path that Linux opens.
const MAX_PATH: usize = 4095;

/// Whether a script at a path is looked at.
pub(crate) fn is_script_place(path: &[u8]) -> bool {
    SCRIPT_DIRECTORIES.iter().any(|directory| is_below(path, directory))
}

/// The first line of a script, without `#!`.
pub(super) fn shebang(path: &[u8], head: &[u8]) -> Option<Box<[u8]>> {
    let rest = head.strip_prefix(b"#!")?;
    if !is_script_place(path) {
        return None;
    }
    rest.split(|&byte| byte == b'\n').next().map(Into::into)
}

/// The absolute paths in a file `etc/ld.so.conf.d/**.conf`, without the first slash.
pub(super) fn library_directories(
    path: &[u8],
    source: &mut Source<'_, impl Read + Seek>,
) -> io::Result<Box<[Box<[u8]>]>> {
    if !is_below(path, "etc/ld.so.conf.d") || !path.ends_with(b".conf") {
        return Ok(Box::default());
    }
    let text = source.head(MAX_CONFIGURATION_BYTES)?;
    let lines = text.split(|&byte| byte == b'\n');
    let directories = lines.filter_map(|line| line.strip_suffix(b"\r").unwrap_or(line).strip_prefix(b"/"));
    Ok(directories.filter(|line| line.len() <= MAX_PATH).take(MAX_DIRECTORIES).map(Into::into).collect())
}
