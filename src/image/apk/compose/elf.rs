//! The soname of a shared library. The file is hostile: every number in it is checked.

use std::{fs::File, os::unix::fs::FileExt};

use crate::image::erofs::Content;

/// The most program headers and dynamic entries that are looked at; libraries have a dozen and some dozens.
const MOST_HEADERS: usize = 128;
const MOST_ENTRIES: usize = 1024;
/// The most bytes of a soname.
const MOST_NAME: usize = 256;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
/// A shared object.
const ET_DYN: u64 = 3;

/// What the loader wants to know of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    /// `e_machine`.
    pub(super) machine: u16,
    /// The name that programs ask for.
    pub(super) soname: Option<String>,
}

/// Reads a library of 64 bits, little endian; `None` for any other file.
pub(super) fn library(content: &Content, sources: &[File]) -> Option<Library> {
    let reader = Reader { content, sources };
    let head = reader.read(0, 64)?;
    if head.get(..6)? != b"\x7fELF\x02\x01" || number(&head, 16, 2)? != ET_DYN {
        return None;
    }
    let machine = u16::try_from(number(&head, 18, 2)?).ok()?;
    let (at, size) = (number(&head, 32, 8)?, number(&head, 54, 2)?);
    let count = usize::try_from(number(&head, 56, 2)?).ok()?.min(MOST_HEADERS);
    let headers = (0..count as u64).map_while(|index| reader.read(at.checked_add(index * size)?, 56));
    let headers: Vec<Vec<u8>> = headers.collect();
    let soname = soname(&reader, &headers);
    Some(Library { machine, soname })
}

fn soname(reader: &Reader<'_>, headers: &[Vec<u8>]) -> Option<String> {
    let dynamic = headers.iter().find(|header| number(header, 0, 4) == Some(PT_DYNAMIC))?;
    let (at, size) = (number(dynamic, 8, 8)?, number(dynamic, 32, 8)?);
    let count = usize::try_from(size / 16).ok()?.min(MOST_ENTRIES);
    let (mut table, mut name) = (None, None);
    for index in 0..count as u64 {
        let entry = reader.read(at.checked_add(index * 16)?, 16)?;
        match number(&entry, 0, 8)? {
            0 => break,
            DT_STRTAB => table = number(&entry, 8, 8),
            DT_SONAME => name = number(&entry, 8, 8),
            _ => {}
        }
    }
    let address = table?.checked_add(name?)?;
    // The address of the text in the file, by the segment that is loaded there.
    let offset =
        headers.iter().filter(|header| number(header, 0, 4) == Some(PT_LOAD)).find_map(|header| {
            let (offset, start, size) =
                (number(header, 8, 8)?, number(header, 16, 8)?, number(header, 32, 8)?);
            let within = address.checked_sub(start).filter(|within| *within < size)?;
            offset.checked_add(within)
        })?;
    let text = reader.read_at_most(offset, MOST_NAME)?;
    let end = text.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(text.get(..end)?).ok()?;
    (!name.is_empty() && !name.contains('/') && !name.contains(char::is_control)).then(|| name.to_owned())
}

struct Reader<'a> {
    content: &'a Content,
    sources: &'a [File],
}

impl Reader<'_> {
    fn read(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        let bytes = self.read_at_most(at, length)?;
        (bytes.len() == length).then_some(bytes)
    }

    fn read_at_most(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        match self.content {
            Content::Bytes(bytes) => {
                let rest = bytes.get(usize::try_from(at).ok()?..)?;
                Some(rest.get(..length.min(rest.len()))?.to_vec())
            }
            Content::Extent { source, offset, size } => {
                let rest = usize::try_from(size.checked_sub(at)?).unwrap_or(usize::MAX);
                let mut bytes = vec![0; length.min(rest)];
                self.sources.get(*source)?.read_exact_at(&mut bytes, offset.checked_add(at)?).ok()?;
                Some(bytes)
            }
        }
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}
