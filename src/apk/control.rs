//! The control section of a package: what the package says of itself, and its scripts.
//!
//! Before it: a tar, which anyone may have made. After it: indexes, signatures, linters, and roots.

use std::{collections::HashSet, io::Result};

use super::{
    pkginfo::PackageInfo,
    tar::{Entry, EntryType, content, entries_in_memory, invalid},
};

/// The most entries; packages have ten at most.
const MOST_ENTRIES: usize = 100;
/// The first entry.
const PACKAGE_INFO: &[u8] = b".PKGINFO";

/// A control section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlSection<'t> {
    /// `.PKGINFO`
    pub(crate) info: PackageInfo,
    /// The time of `.PKGINFO`, in seconds since 1970: that of signatures, too.
    pub(crate) mtime: i64,
    /// The entries after it, with their contents: each name once.
    pub(crate) others: Vec<(Entry, &'t [u8])>,
}

impl<'t> ControlSection<'t> {
    /// Reads the tar of a control section.
    ///
    /// # Errors
    /// `InvalidData` for what is no tar, does not begin with a valid `.PKGINFO`, or has a name twice: readers would disagree on
    /// which of the two counts.
    pub(crate) fn read(tar: &'t [u8]) -> Result<Self> {
        let entries = entries_in_memory(tar)?;
        if entries.len() > MOST_ENTRIES {
            return Err(invalid(&format!("its control section has more than {MOST_ENTRIES} entries")));
        }
        let mut names = HashSet::new();
        if let Some(twice) = entries.iter().find(|entry| !names.insert(&entry.path)) {
            let name = String::from_utf8_lossy(&twice.path);
            return Err(invalid(&format!("its control section has {name:?} twice")));
        }
        let mut others = entries.into_iter().map(|entry| {
            let content = content(tar, &entry);
            (entry, content)
        });
        let first = others.next().filter(|(entry, _)| is_info(entry));
        let (entry, text) =
            first.ok_or_else(|| invalid("its control section does not begin with .PKGINFO"))?;
        let text = std::str::from_utf8(text).map_err(|_| invalid(".PKGINFO is not UTF-8"))?;
        let info = PackageInfo::parse(text).map_err(|failure| invalid(&failure.what))?;
        let mtime = i64::try_from(entry.mtime).map_err(|_| invalid("the time of .PKGINFO is no time"))?;
        Ok(Self { info, mtime, others: others.collect() })
    }
}

fn is_info(entry: &Entry) -> bool {
    entry.path == PACKAGE_INFO && entry.kind == EntryType::File
}

#[cfg(test)]
mod tests {
    use super::{
        super::ustar::{self, Kind, Writer},
        *,
    };

    const INFO: &str = "pkgname = a\npkgver = 1-r0\n";

    fn section(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (name, content) in files {
            let entry = ustar::Entry::plain(name.as_bytes(), 0o755, content.len() as u64, 77);
            writer.entry(&entry).expect("written");
            writer.content(content).expect("written");
        }
        writer.finish_section().expect("written")
    }

    #[test]
    fn the_description_comes_first_and_the_others_with_their_contents() {
        let tar =
            section(&[(".PKGINFO", INFO.as_bytes()), (".pre-install", b"#!/bin/sh"), (".trigger", b"")]);
        let control = ControlSection::read(&tar).expect("valid");
        assert_eq!((control.info.name.as_str(), control.mtime), ("a", 77));
        let others: Vec<_> =
            control.others.iter().map(|(entry, text)| (entry.path.as_slice(), *text)).collect();
        assert_eq!(others, [(&b".pre-install"[..], &b"#!/bin/sh"[..]), (b".trigger", b"")]);
    }

    #[test]
    fn what_readers_would_take_for_different_things_is_refused() {
        let info = (".PKGINFO", INFO.as_bytes());
        let many: Vec<String> = (0..100).map(|n| format!(".{n}")).collect();
        let many: Vec<_> =
            [info].into_iter().chain(many.iter().map(|name| (name.as_str(), &b""[..]))).collect();
        for (tar, part) in [
            (section(&[]), "does not begin with .PKGINFO"),
            (section(&[(".trigger", b""), info]), "does not begin with .PKGINFO"),
            (section(&[info, info]), "\".PKGINFO\" twice"),
            (section(&[info, (".trigger", b"a"), (".trigger", b"b")]), "\".trigger\" twice"),
            (section(&[(".PKGINFO", b"\xff")]), "not UTF-8"),
            (section(&[(".PKGINFO", b"pkgname = a\n")]), "no pkgver"),
            (section(&many), "more than 100 entries"),
            ([section(&[info]), vec![0; 512], section(&[(".trigger", b"")])].concat(), "something follows"),
        ] {
            let error = ControlSection::read(&tar).expect_err("it is refused");
            assert!(error.to_string().contains(part), "{error}, not {part}");
        }
        let mut writer = Writer::new(Vec::new());
        let link = Kind::Symlink { target: b"/etc/passwd" };
        let entry = ustar::Entry { kind: link, ..ustar::Entry::plain(b".PKGINFO", 0o644, 0, 0) };
        writer.entry(&entry).expect("written");
        let link = writer.finish_section().expect("written");
        assert!(ControlSection::read(&link).expect_err("a link").to_string().contains("does not begin"));
    }
}
