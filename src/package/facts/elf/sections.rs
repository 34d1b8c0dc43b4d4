//! The table of sections of an ELF file.

use std::io::{Read, Seek};

use super::{header::Header, trouble::Trouble};
use crate::package::facts::source::Source;

/// `SHT_STRTAB`, `SHT_DYNAMIC`, `SHT_NOBITS`: the kinds of sections that are looked at.
const STRING_TABLE: u32 = 3;
const DYNAMIC: u32 = 6;
const NO_BITS: u32 = 8;
/// `SHF_COMPRESSED`.
const COMPRESSED: u64 = 1 << 11;
/// `SHN_XINDEX`: the number of the section with names stands in the first section.
const EXTENDED: u16 = 0xffff;
/// The largest table of sections that is read: 262,144 sections of 64 bytes. Linux has some thousands.
const MAX_TABLE: u64 = 16 << 20;
/// The largest table of the names of sections; objects of C++ with a section for each function have some MiB.
const MAX_NAMES: u64 = 16 << 20;

/// A section, as its header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) link: u32,
}

impl Section {
    /// Whether its content stands in the file as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.kind != NO_BITS && self.flags & COMPRESSED == 0
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Sections {
    table: Vec<Section>,
    /// Whether names say that there is debugging information.
    pub(super) has_debugging: bool,
    /// The offset and size of the section with Go's build information.
    pub(super) go_build_info: Option<(u64, u64)>,
}

impl Sections {
    pub(super) fn read(header: &Header, source: &mut Source<'_, impl Read + Seek>) -> Result<Self, Trouble> {
        let mut count = u64::from(header.section_count);
        let mut names = u64::from(header.section_names);
        if header.section_offset > 0 && count == 0 {
            (count, names) = extended(header, source)?;
        }
        let size = count.saturating_mul(u64::from(header.section_entry_size));
        if size > MAX_TABLE {
            return Err(Trouble::Broken("too many sections"));
        }
        let mut sections = Self { table: Vec::new(), has_debugging: false, go_build_info: None };
        if size == 0 {
            return Ok(sections);
        }
        let table = source.exact(header.section_offset, size as usize)?;
        let table = table.ok_or(Trouble::Broken("unexpected EOF"))?;
        let entries = table.chunks_exact(usize::from(header.section_entry_size));
        sections.table = entries.map(|entry| section(header, entry)).collect::<Result<_, _>>()?;
        if names != 0 {
            sections.read_names(names, source)?;
        }
        Ok(sections)
    }

    /// The first section with dynamic entries.
    pub(super) fn dynamic(&self) -> Option<&Section> {
        self.table.iter().find(|section| section.kind == DYNAMIC)
    }

    /// The section that another is linked to; the first one is never meant.
    pub(super) fn linked(&self, section: &Section) -> Option<&Section> {
        self.table.get(section.link as usize).filter(|_| section.link > 0)
    }

    fn read_names(&mut self, names: u64, source: &mut Source<'_, impl Read + Seek>) -> Result<(), Trouble> {
        let section = usize::try_from(names).ok().and_then(|index| self.table.get(index));
        let section = section.ok_or(Trouble::Broken("invalid ELF shstrndx"))?;
        if section.kind != STRING_TABLE {
            return Err(Trouble::Broken("invalid ELF section name string table type"));
        }
        if !section.is_plain() || section.size > MAX_NAMES {
            return Err(Trouble::Broken("the names of its sections are compressed, or too long"));
        }
        let text = source.exact(section.offset, section.size as usize)?;
        let text = text.ok_or(Trouble::Broken("unexpected EOF"))?;
        let last_end = text.iter().rposition(|&byte| byte == 0);
        let mut found = Found::default();
        for section in &self.table {
            let start = section.name as usize;
            if last_end.is_none_or(|end| start > end) {
                return Err(Trouble::Broken("bad section name index"));
            }
            found.look_at(text.get(start..).unwrap_or_default(), section);
        }
        self.has_debugging = found.has_information || (found.has_symbols && found.has_other_debugging);
        self.go_build_info = found.go_build_info;
        Ok(())
    }
}

/// What the names of sections say.
#[derive(Debug, Default)]
struct Found {
    has_symbols: bool,
    has_information: bool,
    has_other_debugging: bool,
    go_build_info: Option<(u64, u64)>,
}

impl Found {
    /// `name` is the rest of the table of names: the name is not searched for its end, so that no table takes long.
    fn look_at(&mut self, name: &[u8], section: &Section) {
        let is = |wanted: &[u8]| name.strip_prefix(wanted).is_some_and(|rest| rest.first() == Some(&0));
        self.has_symbols |= is(b".symtab");
        self.has_information |= is(b".debug_info") || is(b".zdebug_info") || is(b".debug") || is(b".zdebug");
        self.has_other_debugging |= name.starts_with(b".debug_") || name.starts_with(b".zdebug_");
        if self.go_build_info.is_none() && is(b".go.buildinfo") {
            self.go_build_info = Some((section.offset, section.size));
        }
    }
}

/// The number of sections and the place of their names in a file with more than a header can say.
fn extended(header: &Header, source: &mut Source<'_, impl Read + Seek>) -> Result<(u64, u64), Trouble> {
    let entry = source.exact(header.section_offset, usize::from(header.section_entry_size))?;
    let first = section(header, &entry.ok_or(Trouble::Broken("unexpected EOF"))?)?;
    if first.kind != 0 {
        return Err(Trouble::Broken("invalid type of the initial section"));
    }
    let names = match header.section_names {
        EXTENDED => u64::from(first.link),
        names => u64::from(names),
    };
    if first.size < 0xff00 {
        return Err(Trouble::Broken("invalid ELF shnum contained in sh_size"));
    }
    if names >= first.size {
        return Err(Trouble::Broken("invalid ELF shstrndx contained in sh_link"));
    }
    Ok((first.size, names))
}

fn section(header: &Header, entry: &[u8]) -> Result<Section, Trouble> {
    let layout = header.layout;
    let parse = || {
        Some(Section {
            name: layout.u32(entry, 0)?,
            kind: layout.u32(entry, 4)?,
            flags: layout.word(entry, 8, 8)?,
            offset: layout.word(entry, 24, 16)?,
            size: layout.word(entry, 32, 20)?,
            link: layout.half(entry, 40, 24)?,
        })
    };
    let is_positive = |number: u64| i64::try_from(number).is_ok();
    parse()
        .filter(|section| is_positive(section.offset) && is_positive(section.size))
        .ok_or(Trouble::Broken("invalid section header"))
}
