//! The names of users and groups, from the guest's `/etc/passwd` and `/etc/group`, for the entries of an export.
//!
//! Steps may have written anything into these files: what is read of them is bounded, and a line without a plain name is
//! ignored.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
};

use nix::libc::{O_CLOEXEC, O_NONBLOCK};

/// The most bytes that are read of one file. Distributions ship a few KiB.
const MAX_FILE: u64 = 1 << 20;

/// The longest name that a tar header holds with its NUL, in bytes.
const MAX_NAME: usize = 31;

/// The names by their numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnerNames {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl OwnerNames {
    /// Reads both files. A file that is missing or cannot be read has no names.
    pub(crate) fn read() -> Self {
        Self { users: names(&start_of("/etc/passwd")), groups: names(&start_of("/etc/group")) }
    }

    /// The name of a user; empty without one.
    pub(crate) fn user(&self, uid: u32) -> &[u8] {
        self.users.get(&uid).map_or(b"", Vec::as_slice)
    }

    /// The name of a group; empty without one.
    pub(crate) fn group(&self, gid: u32) -> &[u8] {
        self.groups.get(&gid).map_or(b"", Vec::as_slice)
    }
}

/// The first [`MAX_FILE`] bytes of a regular file.
fn start_of(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Non-blocking, since it may be a fifo.
    let opened = OpenOptions::new().read(true).custom_flags(O_NONBLOCK | O_CLOEXEC).open(path);
    let regular = |file: &File| file.metadata().is_ok_and(|metadata| metadata.is_file());
    let Some(file) = opened.ok().filter(regular) else { return bytes };
    match file.take(MAX_FILE).read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(_) => Vec::new(),
    }
}

/// The names of a file with lines `name:password:number:…`. The first name of a number counts, as in the C library.
fn names(text: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in text.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':');
        let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else { continue };
        let number = std::str::from_utf8(number).ok().and_then(|digits| digits.parse::<u32>().ok());
        let is_plain = (1..=MAX_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
        if let (Some(number), true) = (number, is_plain) {
            names.entry(number).or_insert_with(|| name.to_vec());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_plain_name_of_a_number_counts() {
        let long = "x".repeat(32);
        let text = format!(
            "root:x:0:0::/root:/bin/sh\ntoor:x:0:0\nbroken\n:x:3:\n{long}:x:4:\na\tb:x:5:\nbad:x:-1:\nbuild:x:1000:1000:"
        );
        let expected = HashMap::from([(0, b"root".to_vec()), (1000, b"build".to_vec())]);
        assert_eq!(names(text.as_bytes()), expected);
        let all = OwnerNames { users: names(text.as_bytes()), groups: HashMap::new() };
        assert_eq!((all.user(0), all.user(4), all.group(0)), (&b"root"[..], &b""[..], &b""[..]));
    }

    #[test]
    fn a_file_that_is_no_regular_one_has_no_names() {
        assert!(start_of("/dev/zero").is_empty());
        assert!(start_of("/nonexistent/passwd").is_empty());
    }
}
