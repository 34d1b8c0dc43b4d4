//! The least that a guest can be: an initramfs whose init writes a line and reboots.

use crate::image::cpio::Archive;

/// An init that does nothing but write "up" and reboot, as an ELF file (x86-64): `write(1, "up\n", 3)`, then
/// `reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART)` (linux/reboot.h).
fn init() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code: &[u8] = &[
        0xb8, 1, 0, 0, 0, // mov eax, SYS_write
        0xbf, 1, 0, 0, 0, // mov edi, 1
        0x48, 0x8d, 0x35, 0x22, 0, 0, 0, // lea rsi, [rip + 0x22]: the text behind the code
        0xba, 3, 0, 0, 0, // mov edx, 3
        0x0f, 0x05, // syscall
        0xb8, 169, 0, 0, 0, // mov eax, SYS_reboot
        0xbf, 0xad, 0xde, 0xe1, 0xfe, // mov edi, 0xfee1dead
        0xbe, 0x69, 0x19, 0x12, 0x28, // mov esi, 672274793
        0xba, 0x67, 0x45, 0x23, 0x01, // mov edx, 0x1234567
        0x0f, 0x05, // syscall
        0xeb, 0xfe, // jmp .
        b'u', b'p', b'\n',
    ];
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    // The rest of the header: an executable for x86-64, its entry, and one program header behind it.
    let header = [(2, 2), (62, 2), (1, 4), (BASE + HEADERS, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2)];
    let no_sections = [(1, 2), (0, 2), (0, 2), (0, 2)];
    // One segment, which is the whole file: read, execute.
    let segment = [(1, 4), (5, 4), (0, 8), (BASE, 8), (BASE, 8), (size, 8), (size, 8), (0x1000, 8)];
    for (value, bytes) in header.into_iter().chain(no_sections).chain(segment) {
        elf.extend_from_slice(&u64::to_le_bytes(value)[..bytes]);
    }
    elf.extend_from_slice(code);
    elf
}

/// The initramfs with that init and a console, as a cpio archive.
pub(super) fn initramfs() -> Vec<u8> {
    let mut archive = Archive::default();
    archive.directory("/dev");
    archive.character_device("/dev/console", 5, 1);
    archive.file("/init", 0o755, &init());
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_init_is_an_elf_file_that_the_initramfs_has() {
        let elf = init();
        assert_eq!(&elf[..4], b"\x7fELF");
        // The entry is behind both headers, and the segment ends with the file.
        let number = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("8 bytes"));
        assert_eq!(number(24), 0x40_0000 + 120);
        assert_eq!(number(64 + 32), elf.len() as u64);
        assert!(elf.ends_with(b"up\n"));
        assert!(initramfs().windows(elf.len()).any(|part| part == elf));
    }
}
