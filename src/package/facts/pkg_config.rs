//! Files of pkg-config (`*.pc`): which others they require.
//!
//! The grammar is that of melange's reader, so that a file which melange cannot read is not read by kiln either: a line is empty,
//! a comment, `name = value`, `name: value` or a list of modules.

use std::{
    io::{self, Read, Seek},
    mem::size_of,
};

use super::source::Source;

/// The largest file that is read; real ones have less than 4 KiB.
const MAX_BYTES: usize = 256 << 10;
/// The largest number of modules that a file may require.
const MAX_MODULES: usize = 1024;

/// The lists of modules, in the order of the document.
const LISTS: [&str; 4] = ["Requires.private", "Requires.internal", "Requires", "Provides"];

/// The facts of a file of pkg-config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PkgConfig {
    /// The names in `Requires`, `Requires.private` and `Requires.internal`, in this order, without versions.
    pub requires: Box<[Box<str>]>,
}

impl PkgConfig {
    /// The memory that it takes besides itself.
    pub(super) fn bytes(&self) -> usize {
        self.requires.iter().map(|name| name.len() + size_of::<Box<str>>()).sum()
    }
}

/// Reads a file; `Err` inside says why it cannot be understood.
pub(super) fn examine(
    source: &mut Source<'_, impl Read + Seek>,
) -> io::Result<Option<Result<PkgConfig, Box<str>>>> {
    if source.size() > MAX_BYTES as u64 {
        return Ok(Some(Err(format!("it has more than {} KiB", MAX_BYTES >> 10).into())));
    }
    Ok(Some(parse(&source.head(MAX_BYTES)?)))
}

/// Reads the text of a file.
pub(super) fn parse(text: &[u8]) -> Result<PkgConfig, Box<str>> {
    let mut cursor = Cursor { text, at: 0 };
    // A later list replaces an earlier one of the same name.
    let mut lists: [Vec<&str>; 4] = Default::default();
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None => break,
            Some(b'\n') => cursor.at += 1,
            Some(b'#') => cursor.skip_line(),
            Some(_) => cursor.assignment(&mut lists)?,
        }
    }
    let [private, internal, requires, _] = lists;
    let all = requires.into_iter().chain(private).chain(internal);
    Ok(PkgConfig { requires: all.map(Into::into).collect() })
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Blanks, but not the end of the line.
    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | 0x0b | 0x0c)) {
            self.at += 1;
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    /// The characters of one kind from here, as text; they are ASCII.
    fn word(&mut self, is_of_kind: impl Fn(u8) -> bool) -> Option<&'a str> {
        self.skip_blanks();
        let rest = self.text.get(self.at..)?;
        let length = rest.iter().position(|&byte| !is_of_kind(byte)).unwrap_or(rest.len());
        let word = rest.get(..length).filter(|word| !word.is_empty())?;
        self.at += length;
        str::from_utf8(word).ok()
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(token.as_bytes()));
        if found {
            self.at += token.len();
        }
        found
    }

    /// `name = value`, `list: modules` or `name: value`.
    fn assignment(&mut self, lists: &mut [Vec<&'a str>; 4]) -> Result<(), Box<str>> {
        let start = self.at;
        let Some(_) = self.word(is_of_key) else { return Err(self.expected("a name")) };
        if self.take("=") {
            self.skip_line();
            return Ok(());
        }
        let after_key = self.at;
        self.at = start;
        if let Some(index) = LISTS.iter().position(|list| self.take(list))
            && self.take(":")
        {
            let modules = self.modules();
            if modules.len() > MAX_MODULES {
                return Err(format!("it names more than {MAX_MODULES} modules").into());
            }
            if let Some(list) = lists.get_mut(index) {
                *list = modules;
            }
            return Ok(());
        }
        self.at = after_key;
        if !self.take(":") {
            return Err(self.expected("':'"));
        }
        self.skip_line();
        Ok(())
    }

    /// Modules, each with or without a version, parted by blanks or commas.
    fn modules(&mut self) -> Vec<&'a str> {
        let mut modules = Vec::new();
        while modules.len() <= MAX_MODULES
            && let Some(module) = self.word(is_of_module)
        {
            modules.push(module);
            let after_module = self.at;
            let compared = ["<=", "<", "=", ">=", ">"].iter().any(|operator| self.take(operator));
            if !compared || self.word(is_of_version).is_none() {
                self.at = after_module;
            }
            self.take(",");
        }
        modules
    }

    fn expected(&self, what: &str) -> Box<str> {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        format!("line {line}: {what} is expected").into()
    }
}

fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

fn is_of_module(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn is_of_version(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}
