//! The header of an ELF file, and its table of segments.

use std::io::{Read, Seek};

use super::trouble::{MAGIC, Trouble};
use crate::package::facts::source::Source;

/// The header of a 64-bit file; that of a 32-bit file is shorter.
const HEADER_BYTES: usize = 64;
/// `EV_CURRENT`, the only version of the format.
const VERSION: u32 = 1;
/// `PT_LOAD`: a segment that is mapped.
const PT_LOAD: u32 = 1;
/// `PF_X` and `PF_W`: a segment is executable, writable.
const EXECUTABLE: u32 = 1;
const WRITABLE: u32 = 2;
/// The largest table of segments that is read; real files have less than a hundred segments of 56 bytes.
const MAX_PROGRAM_TABLE: u64 = 4 << 20;

/// The width and order of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) is_64_bit: bool,
    is_big_endian: bool,
}

impl Layout {
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// An address or size, whose place and width differ between the two classes.
    pub(super) fn word(self, bytes: &[u8], at_64: usize, at_32: usize) -> Option<u64> {
        if self.is_64_bit { self.u64(bytes, at_64) } else { self.u32(bytes, at_32).map(u64::from) }
    }

    /// A number of 32 bits, whose place differs between the two classes.
    pub(super) fn half(self, bytes: &[u8], at_64: usize, at_32: usize) -> Option<u32> {
        self.u32(bytes, if self.is_64_bit { at_64 } else { at_32 })
    }
}

/// The header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) layout: Layout,
    pub(super) machine: u16,
    program_offset: u64,
    program_entry_size: u16,
    program_count: u16,
    pub(super) section_offset: u64,
    pub(super) section_entry_size: u16,
    pub(super) section_count: u16,
    pub(super) section_names: u16,
}

/// A segment.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) kind: u32,
    flags: u32,
    pub(super) offset: u64,
    pub(super) file_size: u64,
}

impl Program {
    /// Whether it holds a program's variables.
    pub(super) fn is_data(&self) -> bool {
        self.kind == PT_LOAD && self.flags & (EXECUTABLE | WRITABLE) == WRITABLE
    }
}

impl Header {
    pub(super) fn read(source: &mut Source<'_, impl Read + Seek>) -> Result<Self, Trouble> {
        let bytes = source.head(HEADER_BYTES)?;
        let layout = match bytes.first_chunk::<7>() {
            Some([_, _, _, _, class @ (1 | 2), order @ (1 | 2), 1]) if bytes.starts_with(MAGIC) => {
                Layout { is_64_bit: *class == 2, is_big_endian: *order == 2 }
            }
            _ => return Err(Trouble::Broken("unknown ELF class, byte order or version")),
        };
        let header = Self::parse(layout, &bytes).ok_or(Trouble::Broken("unexpected EOF"))?;
        if layout.u32(&bytes, 20) != Some(VERSION) {
            return Err(Trouble::Broken("mismatched ELF version"));
        }
        header.check()
    }

    fn parse(layout: Layout, bytes: &[u8]) -> Option<Self> {
        let after = if layout.is_64_bit { 52 } else { 40 };
        Some(Self {
            layout,
            machine: layout.u16(bytes, 18)?,
            program_offset: layout.word(bytes, 32, 28)?,
            section_offset: layout.word(bytes, 40, 32)?,
            program_entry_size: layout.u16(bytes, after + 2)?,
            program_count: layout.u16(bytes, after + 4)?,
            section_entry_size: layout.u16(bytes, after + 6)?,
            section_count: layout.u16(bytes, after + 8)?,
            section_names: layout.u16(bytes, after + 10)?,
        })
    }

    fn check(self) -> Result<Self, Trouble> {
        let (program_size, section_size) = if self.layout.is_64_bit { (56, 64) } else { (32, 40) };
        let is_negative = |offset: u64| i64::try_from(offset).is_err();
        if is_negative(self.program_offset) {
            return Err(Trouble::Broken("invalid phoff"));
        }
        if is_negative(self.section_offset) {
            return Err(Trouble::Broken("invalid shoff"));
        }
        if self.section_offset == 0 && self.section_count != 0 {
            return Err(Trouble::Broken("invalid ELF shnum for shoff=0"));
        }
        if self.section_count > 0 && self.section_names >= self.section_count {
            return Err(Trouble::Broken("invalid ELF shstrndx"));
        }
        if self.program_count > 0 && self.program_entry_size < program_size {
            return Err(Trouble::Broken("invalid ELF phentsize"));
        }
        if self.section_offset > 0 && self.section_entry_size < section_size {
            return Err(Trouble::Broken("invalid ELF shentsize"));
        }
        Ok(self)
    }

    /// The segments.
    pub(super) fn programs(
        &self,
        source: &mut Source<'_, impl Read + Seek>,
    ) -> Result<Vec<Program>, Trouble> {
        let size = u64::from(self.program_count) * u64::from(self.program_entry_size);
        if size > MAX_PROGRAM_TABLE {
            return Err(Trouble::Broken("too many segments"));
        }
        if size == 0 {
            return Ok(Vec::new());
        }
        let table = source.exact(self.program_offset, size as usize)?;
        let table = table.ok_or(Trouble::Broken("unexpected EOF"))?;
        let entries = table.chunks_exact(usize::from(self.program_entry_size));
        entries.map(|entry| self.program(entry).ok_or(Trouble::Broken("invalid program header"))).collect()
    }

    fn program(&self, entry: &[u8]) -> Option<Program> {
        let Self { layout, .. } = self;
        let program = Program {
            kind: layout.u32(entry, 0)?,
            flags: layout.half(entry, 4, 24)?,
            offset: layout.word(entry, 8, 4)?,
            file_size: layout.word(entry, 32, 16)?,
        };
        let is_positive = i64::try_from(program.offset).is_ok() && i64::try_from(program.file_size).is_ok();
        is_positive.then_some(program)
    }
}
