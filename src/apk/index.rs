//! The text of an index, `APKINDEX`: what a repository says of each of its packages.
//!
//! Before it: the text, from an archive. After it: the resolver, downloads, and the index that a build adds its packages to. Pure:
//! records borrow from the text, so that reading an index of 100 MB copies nothing.

use std::{
    collections::HashMap,
    fmt::{self, Display, Write},
};

use data_encoding::BASE64;

use super::section::INDEX_MAX;

/// The most bytes that a line may have: a record names each program and library of its package.
pub(super) const MAX_LINE: usize = 1 << 20;
/// The most packages of an index; the largest that are known have about 100,000.
const MAX_RECORDS: usize = 1 << 20;

/// The prefix of a checksum that is a SHA-1.
const SHA1_PREFIX: &str = "Q1";

/// Words with blanks between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Words<'a>(pub &'a str);

impl<'a> Words<'a> {
    /// The words, in their order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.split(' ').filter(|word| !word.is_empty())
    }

    /// Whether there is no word.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

/// What an index says of a package. Fields that it does not have are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// `C`: the checksum of the control member as text: `Q1` and the base64 of a SHA-1.
    pub checksum: &'a str,
    /// `P`
    pub name: &'a str,
    /// `V`: the version with its release, `1.2-r3`.
    pub version: &'a str,
    /// `A`: the architecture, in apk's words.
    pub arch: &'a str,
    /// `S`: the size of the package in bytes.
    pub size: u64,
    /// `I`: the size of what it installs in bytes.
    pub installed_size: u64,
    /// `T`
    pub description: &'a str,
    /// `U`
    pub url: &'a str,
    /// `L`
    pub license: &'a str,
    /// `o`: the package that was built together with this one.
    pub origin: &'a str,
    /// `m`
    pub maintainer: &'a str,
    /// `t`: seconds since 1970.
    pub build_time: Option<i64>,
    /// `c`: the commit of its build file.
    pub commit: &'a str,
    /// `D`: constraints; those that start with `!` are conflicts.
    pub dependencies: Words<'a>,
    /// `i`: the package is installed when all of these are.
    pub install_if: Words<'a>,
    /// `p`: names, some with a version.
    pub provides: Words<'a>,
    /// `r`: packages whose files it may overwrite.
    pub replaces: Words<'a>,
    /// `q`: which of two packages that replace each other wins.
    pub replaces_priority: u64,
    /// `k`: which of several providers of a name is preferred.
    pub provider_priority: u64,
}

impl<'a> Record<'a> {
    /// The SHA-1 of the compressed control member; `None` if the index has none, and the package cannot be verified.
    pub fn control_sha1(&self) -> Option<[u8; 20]> {
        let text = self.checksum.strip_prefix(SHA1_PREFIX)?;
        BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
    }

    /// The name of its file in a repository.
    pub fn file_name(&self) -> String {
        format!("{}-{}.apk", self.name, self.version)
    }

    fn set(&mut self, letter: char, value: &'a str) -> Result<(), String> {
        match letter {
            'C' => {
                let base64 = value.strip_prefix(SHA1_PREFIX);
                if base64.is_some_and(|text| BASE64.decode(text.as_bytes()).is_err()) {
                    return Err(format!("the checksum {value:?} is no base64"));
                }
                self.checksum = value;
            }
            'P' => self.name = value,
            'V' => self.version = value,
            'A' => self.arch = value,
            'S' => self.size = number("size", value)?,
            'I' => self.installed_size = number("installed size", value)?,
            'T' => self.description = value,
            'U' => self.url = value,
            'L' => self.license = value,
            'o' => self.origin = value,
            'm' => self.maintainer = value,
            't' => self.build_time = Some(number("build time", value)?),
            'c' => self.commit = value,
            'D' => self.dependencies = Words(value),
            'i' => self.install_if = Words(value),
            'p' => self.provides = Words(value),
            'r' => self.replaces = Words(value),
            // apko does not read it: a bad number must not make an index unreadable that apko reads.
            'q' => self.replaces_priority = value.parse().unwrap_or(0),
            'k' => self.provider_priority = number("provider priority", value)?,
            _ => {}
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(what: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("the {what} {value:?} is no number"))
}

impl Display for Record<'_> {
    /// The record's lines and the empty line after them, in melange's order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |f: &mut fmt::Formatter<'_>, letter: char, value: &str| match value {
            "" => Ok(()),
            value => writeln!(f, "{letter}:{value}"),
        };
        let number = |f: &mut fmt::Formatter<'_>, letter: char, value: u64| match value {
            0 => Ok(()),
            value => writeln!(f, "{letter}:{value}"),
        };
        let checksum = if self.checksum.is_empty() { SHA1_PREFIX } else { self.checksum };
        writeln!(f, "C:{checksum}\nP:{}\nV:{}", self.name, self.version)?;
        text(f, 'A', self.arch)?;
        number(f, 'S', self.size)?;
        number(f, 'I', self.installed_size)?;
        writeln!(f, "T:{}", self.description)?;
        text(f, 'U', self.url)?;
        text(f, 'L', self.license)?;
        text(f, 'o', self.origin)?;
        text(f, 'm', self.maintainer)?;
        if let Some(time) = self.build_time {
            writeln!(f, "t:{time}")?;
        }
        text(f, 'c', self.commit)?;
        text(f, 'D', self.dependencies.0)?;
        text(f, 'i', self.install_if.0)?;
        text(f, 'p', self.provides.0)?;
        text(f, 'r', self.replaces.0)?;
        number(f, 'q', self.replaces_priority)?;
        number(f, 'k', self.provider_priority)?;
        f.write_char('\n')
    }
}

/// Why an index cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexError {
    /// The line, from 1.
    pub line: usize,
    /// The fault.
    pub what: String,
}

impl Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for IndexError {}

/// The packages of a repository, in the order of its index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index<'a> {
    /// The records.
    pub records: Vec<Record<'a>>,
}

impl<'a> Index<'a> {
    /// Reads the text of an index. Unknown letters are ignored, and records without a name are left out, as apko does both.
    pub fn parse(text: &'a str) -> Result<Self, IndexError> {
        let mut records = Vec::new();
        let mut record = Record::default();
        // An empty line at the end, for an index whose last record has none.
        for (at, line) in text.lines().chain([""]).enumerate() {
            let line = line.trim_end_matches('\r');
            let error = |what: String| IndexError { line: at.saturating_add(1), what };
            if at == 0 && text.len() as u64 > INDEX_MAX {
                return Err(error(format!("the index has more than {INDEX_MAX} bytes")));
            }
            if line.is_empty() {
                let complete = std::mem::take(&mut record);
                if !complete.name.is_empty() {
                    records.push(complete);
                }
                continue;
            }
            if line.len() >= MAX_LINE {
                return Err(error(format!("the line has more than {MAX_LINE} bytes")));
            }
            if records.len() >= MAX_RECORDS {
                return Err(error(format!("the index has more than {MAX_RECORDS} packages")));
            }
            let mut characters = line.chars();
            let (Some(letter), Some(':')) = (characters.next(), characters.next()) else {
                return Err(error("the line is not of the form letter:value".to_owned()));
            };
            record.set(letter, characters.as_str()).map_err(error)?;
        }
        Ok(Self { records })
    }

    /// Adds the records of `new`: each replaces that of the same name and version in its place, or comes after all others.
    pub fn merge(&mut self, new: &Self) {
        let mut places: HashMap<(&str, &str), usize> =
            self.records.iter().enumerate().map(|(at, record)| ((record.name, record.version), at)).collect();
        for record in &new.records {
            let at = *places.entry((record.name, record.version)).or_insert(self.records.len());
            match self.records.get_mut(at) {
                Some(old) => *old = *record,
                None => self.records.push(*record),
            }
        }
    }
}

impl Display for Index<'_> {
    /// The text of the index.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.records.iter().try_for_each(|record| record.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "C:Q1mGp3EAdcZSAwrpq3W0X9SfSGsp8=\nP:a\nV:1-r0\nA:x86_64\nS:872\nI:7\nT:a (test)\n\
        U:https://example.org\nL:MIT\no:a\nm:me <me@example.org>\nt:0\nc:abc\nD:b !c d>1\ni:x y\np:cmd:a=1-r0 so:a\n\
        r:old\nq:5\nk:10\n\n";

    #[test]
    fn a_record_is_read_and_printed() {
        let index = Index::parse(TEXT).expect("valid");
        let [record] = index.records.as_slice() else { panic!("one record: {index:?}") };
        assert_eq!((record.name, record.version, record.arch), ("a", "1-r0", "x86_64"));
        assert_eq!((record.size, record.installed_size, record.build_time), (872, 7, Some(0)));
        assert_eq!((record.replaces_priority, record.provider_priority), (5, 10));
        assert_eq!(record.dependencies.iter().collect::<Vec<_>>(), ["b", "!c", "d>1"]);
        assert_eq!(record.install_if.iter().collect::<Vec<_>>(), ["x", "y"]);
        let sha1 = record.control_sha1().expect("a SHA-1");
        assert_eq!(data_encoding::HEXLOWER.encode(&sha1), "986a7710075c652030ae9ab75b45fd49f486b29f");
        assert_eq!(record.file_name(), "a-1-r0.apk");
        assert_eq!(index.to_string(), TEXT);
    }

    #[test]
    fn fields_that_are_empty_are_not_printed() {
        let index = Index::parse("P:a\nV:1\nD:\np: \nX:unknown\nF:files\n").expect("valid");
        assert!(
            index.records.iter().all(|record| record.provides.is_empty() && record.dependencies.is_empty())
        );
        assert_eq!(Index::parse("P:a\nV:1\n").expect("valid").to_string(), "C:Q1\nP:a\nV:1\nT:\n\n");
    }

    #[test]
    fn records_without_a_name_are_left_out() {
        let index = Index::parse("V:1\n\n\n\nP:b\r\nV:2\r\n\r\nP:\nV:3\n\n").expect("valid");
        let names: Vec<_> = index.records.iter().map(|record| (record.name, record.version)).collect();
        assert_eq!(names, [("b", "2")]);
    }

    #[test]
    fn faults_name_their_line() {
        let long = format!("P:a\nT:{}\n", "x".repeat(MAX_LINE));
        for (text, line, part) in [
            ("P:a\nV\n", 2, "letter:value"),
            ("Pa\n", 1, "letter:value"),
            ("é:x\n\nü\n", 3, "letter:value"),
            ("P:a\nS:x\n", 2, "size"),
            ("P:a\nS:-1\n", 2, "size"),
            ("P:a\nI:18446744073709551616\n", 2, "installed size"),
            ("P:a\nt:1.5\n", 2, "build time"),
            ("P:a\n\nP:b\nk:\n", 4, "provider priority"),
            ("C:Q1*\n", 1, "base64"),
            (long.as_str(), 2, "more than 1048576 bytes"),
        ] {
            let error = Index::parse(text).expect_err("invalid");
            assert_eq!(error.line, line, "{text:.20}");
            assert!(error.what.contains(part), "{error}");
        }
        assert!(Index::parse("P:a\nq:x\nt:-5\n\n").is_ok());
    }

    #[test]
    fn checksums_of_other_kinds_are_kept_and_not_used() {
        let index = Index::parse("C:Q2abc\nP:a\nV:1\n\nC:Q1AAAA\nP:b\nV:1\n\n").expect("valid");
        assert!(index.records.iter().all(|record| record.control_sha1().is_none()));
        assert!(index.to_string().contains("C:Q2abc\nP:a\n"));
    }

    #[test]
    fn new_records_replace_those_of_the_same_version() {
        let mut index = Index::parse("P:a\nV:1\nT:old\n\nP:b\nV:1\n\nP:a\nV:2\n\n").expect("valid");
        index.merge(&Index::parse("P:c\nV:1\n\nP:a\nV:1\nT:new\n\nP:c\nV:1\nT:last\n\n").expect("valid"));
        let got: Vec<_> = index.records.iter().map(|r| (r.name, r.version, r.description)).collect();
        assert_eq!(got, [("a", "1", "new"), ("b", "1", ""), ("a", "2", ""), ("c", "1", "last")]);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(text in "([CPVASITULomtcDiprqkX]:[a-z0-9 =\r]{0,6}\n|\n){0,30}") {
            if let Ok(index) = Index::parse(&text) {
                let printed = index.to_string();
                let again = Index::parse(&printed).expect("what kiln prints can be read");
                prop_assert_eq!(again.to_string(), printed.as_str());
                prop_assert_eq!(again.records.len(), index.records.len());
            }
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,50}|[CPS:Q1\n\r a]{0,50}") {
            let _ = Index::parse(&text);
        }
    }
}
