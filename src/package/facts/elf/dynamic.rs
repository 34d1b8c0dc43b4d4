//! The dynamic entries of an ELF file: the libraries that it needs, and its own name.

use std::io::{Read, Seek};

use super::{
    header::Header,
    sections::{Section, Sections},
    trouble::Trouble,
};
use crate::package::facts::source::Source;

/// `DT_NEEDED` and `DT_SONAME`.
const NEEDED: u64 = 1;
const SONAME: u64 = 14;
/// The largest table of entries; large libraries have some hundred entries of 16 bytes.
const MAX_TABLE: u64 = 1 << 20;
/// More names are not read. The largest programs need some hundred libraries.
const MAX_NAMES: usize = 4096;
/// The longest name, which is that of a file.
const MAX_NAME: usize = 1024;
/// All names together. Entries can share one long text, so that they say much more than the file is long.
const MAX_NAMES_BYTES: usize = 64 << 10;

/// The names, in their order.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) needed: Vec<Box<[u8]>>,
    pub(super) sonames: Vec<Box<[u8]>>,
    bytes: usize,
}

/// Reads the names; there are none in a file that is not dynamic.
pub(super) fn names(
    header: &Header,
    sections: &Sections,
    source: &mut Source<'_, impl Read + Seek>,
) -> Result<Names, Trouble> {
    let mut names = Names::default();
    let Some(dynamic) = sections.dynamic() else { return Ok(names) };
    let entry_size = if header.layout.is_64_bit { 16 } else { 8 };
    if !dynamic.is_plain() || dynamic.size > MAX_TABLE || dynamic.size % entry_size != 0 {
        return Err(Trouble::Broken("the dynamic section cannot be read"));
    }
    let table = source.exact(dynamic.offset, dynamic.size as usize)?;
    let table = table.ok_or(Trouble::Broken("unexpected EOF"))?;
    let text = sections.linked(dynamic).filter(|text| text.is_plain());
    let text = text.ok_or(Trouble::Broken("section has invalid string table link"))?;
    if text.offset.checked_add(text.size).is_none_or(|end| end > source.size()) {
        return Err(Trouble::Broken("unexpected EOF"));
    }
    // Entries behind the one that ends the table (`DT_NULL`) count too: melange does not stop there.
    for entry in table.chunks_exact(entry_size as usize) {
        let (Some(tag), Some(start)) = (header.layout.word(entry, 0, 0), header.layout.word(entry, 8, 4))
        else {
            continue;
        };
        if tag == NEEDED || tag == SONAME {
            let Some(name) = name_at(text, start, source)? else { continue };
            names.add(tag, name)?;
        }
    }
    Ok(names)
}

impl Names {
    fn add(&mut self, tag: u64, name: Box<[u8]>) -> Result<(), Trouble> {
        self.bytes = self.bytes.saturating_add(name.len());
        let count = self.needed.len() + self.sonames.len();
        if count >= MAX_NAMES || self.bytes > MAX_NAMES_BYTES {
            return Err(Trouble::Broken("too many libraries"));
        }
        if tag == NEEDED {
            self.needed.push(name)
        } else {
            self.sonames.push(name)
        }
        Ok(())
    }
}

/// The text at an offset of the table of texts; `None` if the offset is wrong.
fn name_at(
    text: &Section,
    start: u64,
    source: &mut Source<'_, impl Read + Seek>,
) -> Result<Option<Box<[u8]>>, Trouble> {
    if start >= text.size {
        return Ok(None);
    }
    let Some(offset) = text.offset.checked_add(start) else { return Ok(None) };
    let limit = (text.size - start).min(MAX_NAME as u64 + 1) as usize;
    let bytes = source.up_to(offset, limit)?;
    match bytes.iter().position(|&byte| byte == 0) {
        Some(end) => Ok(bytes.get(..end).map(Into::into)),
        None if limit > MAX_NAME => Err(Trouble::Broken("the name of a library is too long")),
        None => Ok(None),
    }
}
