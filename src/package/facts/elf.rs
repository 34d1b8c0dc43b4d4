//! ELF files: programs, libraries and kernel modules.
//!
//! What is accepted is what Go's `debug/elf` accepts, which melange reads with: dynamic entries are found by the table of sections,
//! so a file without sections has none. Nothing in a file is believed: offsets, sizes and counts are checked against the file
//! and against the limits here, and no table is read as a whole that may be larger than some MiB.

mod dynamic;
mod header;
mod sections;
mod trouble;

use std::{
    io::{self, Read, Seek},
    mem::size_of,
};

use self::{
    header::Header,
    sections::Sections,
    trouble::{MAGIC, Trouble},
};
use super::{go, source::Source};

/// `PT_INTERP`: the segment with the path of the dynamic loader.
const PT_INTERP: u32 = 3;
/// The longest path of a loader.
const MAX_INTERPRETER: u64 = 4096;

/// The facts of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// The architecture.
    pub machine: Machine,
    /// The path of the dynamic loader: programs have one, libraries seldom.
    pub interpreter: Option<Box<[u8]>>,
    /// The names of the libraries that it needs (`DT_NEEDED`), in their order.
    pub needed: Box<[Box<[u8]>]>,
    /// The names by which others need it (`DT_SONAME`): at most one, unless the file is made by hand.
    pub sonames: Box<[Box<[u8]>]>,
    /// The table of dynamic entries cannot be read. Then `needed` and `sonames` are empty.
    pub dynamic_is_broken: bool,
    /// It has sections with debugging information.
    pub is_unstripped: bool,
    /// Go made it with cgo and with cryptography of OpenSSL, which it loads when it runs.
    pub loads_openssl: bool,
}

impl Elf {
    /// The memory that it takes besides itself.
    pub(super) fn bytes(&self) -> usize {
        let names = self.needed.iter().chain(&self.sonames);
        let loader = self.interpreter.as_ref().map_or(0, |path| path.len());
        loader + names.map(|name| name.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }
}

/// An architecture: `e_machine` of the ELF header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine(pub u16);

impl Machine {
    /// Whether packages are made for it: x86_64 or aarch64.
    pub fn is_supported(self) -> bool {
        matches!(self.0, 62 | 183)
    }

    /// Its name in findings.
    pub fn name(self) -> String {
        let name = match self.0 {
            62 => "amd64",
            183 => "arm64",
            3 => "i386",
            40 => "arm",
            21 => "ppc64",
            22 => "s390",
            8 => "mips",
            243 => "riscv",
            0 => "unknown (EM_NONE)",
            2 => "unknown (EM_SPARC)",
            4 => "unknown (EM_68K)",
            15 => "unknown (EM_PARISC)",
            20 => "unknown (EM_PPC)",
            42 => "unknown (EM_SH)",
            43 => "unknown (EM_SPARCV9)",
            50 => "unknown (EM_IA_64)",
            247 => "unknown (EM_BPF)",
            258 => "unknown (EM_LOONGARCH)",
            number => return format!("unknown ({number})"),
        };
        name.to_owned()
    }
}

/// Whether a file starts as ELF files do.
pub(super) fn is_elf(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Reads an ELF file; `Err` inside says why it cannot be read.
pub(super) fn examine(source: &mut Source<'_, impl Read + Seek>) -> io::Result<Result<Elf, Box<str>>> {
    match read(source) {
        Ok(elf) => Ok(Ok(elf)),
        Err(Trouble::Broken(why)) => Ok(Err(why.into())),
        Err(Trouble::Unreadable(error)) => Err(error),
    }
}

fn read(source: &mut Source<'_, impl Read + Seek>) -> Result<Elf, Trouble> {
    let header = Header::read(source)?;
    let programs = header.programs(source)?;
    let sections = Sections::read(&header, source)?;
    let mut elf = Elf {
        machine: Machine(header.machine),
        interpreter: None,
        needed: Box::default(),
        sonames: Box::default(),
        dynamic_is_broken: false,
        is_unstripped: sections.has_debugging,
        loads_openssl: false,
    };
    if let Some(program) = programs.iter().find(|program| program.kind == PT_INTERP) {
        let length = program.file_size.min(MAX_INTERPRETER) as usize;
        let path = source.up_to(program.offset, length)?;
        let path = trim_zeros(&path);
        elf.interpreter = (!path.is_empty()).then(|| path.into());
    }
    match dynamic::names(&header, &sections, source) {
        Ok(names) => (elf.needed, elf.sonames) = (names.needed.into(), names.sonames.into()),
        Err(Trouble::Broken(_)) => elf.dynamic_is_broken = true,
        Err(unreadable) => return Err(unreadable),
    }
    let data = sections.go_build_info.or_else(|| {
        let data = programs.iter().find(|program| program.is_data())?;
        Some((data.offset, data.file_size))
    });
    if let Some((offset, size)) = data {
        elf.loads_openssl = go::loads_openssl(source, offset, size)?;
    }
    Ok(elf)
}

fn trim_zeros(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}
