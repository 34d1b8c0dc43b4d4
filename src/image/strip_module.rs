//! A kernel module without the parts that only take time to load: its signature, and the tables of the unwinder.
//!
//! Before it: [`super::modules`] unpacked the module. After it: [`super::initramfs`] packs it. Under TCG the check of one
//! signature (SHA-256 over the file, RSA) takes longer than linking the module, and the unwinder sorts its table at every
//! load; a guest that is thrown away needs neither: it trusts the host, and traces of its kernel's stack are
//! guessed. A module that is not as expected stays as it is: the kernel judges it.

/// The end of a signed module (`scripts/sign-file.c` of Linux).
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// `struct module_signature`, before [`SIGNED`]; its last four bytes are the length of the signature, big-endian.
const SIGNATURE_INFO: usize = 12;

/// Sections of the ORC unwinder: without both the kernel does without them (`module_finalize` of arch/x86).
const UNWINDER: [&[u8]; 2] = [b".orc_unwind", b".orc_unwind_ip"];

/// Offsets in an ELF-64 header and in the header of a section (elf(5)), and the size of the latter.
const E_SHOFF: usize = 40;
const E_SHNUM: usize = 60;
const E_SHSTRNDX: usize = 62;
const SH_FLAGS: usize = 8;
const SH_OFFSET: usize = 24;
const SECTION_HEADER: usize = 64;
/// The section takes memory in the process, or the kernel.
const SHF_ALLOC: u8 = 2;

/// The same module, quicker to load.
pub(super) fn slim(module: Vec<u8>) -> Vec<u8> {
    let mut module = unsigned(module);
    for header in sections(&module, &UNWINDER).unwrap_or_default() {
        // Nameless and without memory it is skipped, and its relocations with it. Nothing in the file moves.
        module[header..header + 4].fill(0);
        module[header + SH_FLAGS] &= !SHF_ALLOC;
    }
    module
}

fn unsigned(mut module: Vec<u8>) -> Vec<u8> {
    let length = || {
        let info = module.strip_suffix(SIGNED)?;
        let length = u32::from_be_bytes(*info.last_chunk()?);
        info.len().checked_sub(SIGNATURE_INFO)?.checked_sub(usize::try_from(length).ok()?)
    };
    if let Some(length) = length() {
        module.truncate(length);
    }
    module
}

/// Where the headers of the sections with these names are, each of them whole inside the file.
fn sections(elf: &[u8], names: &[&[u8]]) -> Option<Vec<usize>> {
    // 64 bits, little-endian.
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(*chunk(elf, E_SHOFF)?)).ok()?;
    let count = usize::from(u16::from_le_bytes(*chunk(elf, E_SHNUM)?));
    let names_index = usize::from(u16::from_le_bytes(*chunk(elf, E_SHSTRNDX)?));
    let header = |index: usize| {
        let at = table.checked_add(index.checked_mul(SECTION_HEADER)?)?;
        elf.get(at..at.checked_add(SECTION_HEADER)?).map(|_| at)
    };
    let strings = usize::try_from(u64::from_le_bytes(*chunk(elf, header(names_index)? + SH_OFFSET)?)).ok()?;
    let mut found = Vec::new();
    for at in (0..count).map(header) {
        let name = strings.checked_add(usize::try_from(u32::from_le_bytes(*chunk(elf, at?)?)).ok()?)?;
        let name = elf.get(name..)?.split(|&byte| byte == 0).next()?;
        if names.contains(&name) {
            found.push(at?);
        }
    }
    Some(found)
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three sections: the first, `.orc_unwind`, and the names.
    fn elf() -> Vec<u8> {
        let names = b"\0.orc_unwind\0.text\0";
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        elf.extend(names);
        elf.resize(96, 0);
        elf[E_SHOFF] = 96;
        elf[E_SHNUM] = 3;
        elf[E_SHSTRNDX] = 2;
        for (name, flags, offset) in [(13, 2, 0), (1, 6, 0), (0, 0, 64)] {
            let mut header = [0; SECTION_HEADER];
            (header[0], header[SH_FLAGS], header[SH_OFFSET]) = (name, flags, offset);
            elf.extend(header);
        }
        elf
    }

    fn sign(mut module: Vec<u8>) -> Vec<u8> {
        module.extend([b's'; 300]);
        module.extend([0; 8]);
        module.extend(300_u32.to_be_bytes());
        module.extend(SIGNED);
        module
    }

    #[test]
    fn the_signature_goes_and_the_unwinder_finds_no_table() {
        let mut expected = elf();
        let header = 96 + SECTION_HEADER;
        (expected[header], expected[header + SH_FLAGS]) = (0, 4);
        assert_eq!(slim(sign(elf())), expected);
        assert_eq!(slim(elf()), expected);
    }

    #[test]
    fn a_truncated_module_stays_as_it_is() {
        let whole = elf();
        for length in 0..whole.len() {
            assert_eq!(slim(whole[..length].to_vec()), whole[..length], "{length}");
        }
        let mut lies = SIGNED.to_vec();
        lies.splice(0..0, [0xff; SIGNATURE_INFO]);
        assert_eq!(slim(lies.clone()), lies);
    }
}
