//! The uncompressed kernel inside a bzImage, for QEMU's PVH boot: no firmware, no decompressor in the guest.
//!
//! Before it: [`super::kernel`] found the file. After it: the ELF goes to `-kernel`. Pure: bytes in, bytes out.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};

/// The most bytes of a kernel.
const MAX_VMLINUX: usize = 512 << 20;
/// An lz4 "legacy" block holds at most this much (lz4's `LEGACY_BLOCKSIZE`).
const LZ4_BLOCK: usize = 8 << 20;

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LZ4_LEGACY: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
const ELF: &[u8] = b"\x7fELF";

/// The vmlinux in `image`, which is a bzImage or a vmlinux already; it has a PVH entry.
pub(super) fn extract(image: &[u8]) -> Result<Vec<u8>> {
    let vmlinux = if image.starts_with(ELF) { image.to_vec() } else { unpack(image)? };
    check_pvh(&vmlinux)?;
    Ok(vmlinux)
}

/// The release (`6.1.0-37-amd64`) that a bzImage or vmlinux names.
pub(super) fn release(image: &[u8]) -> Option<String> {
    const VMLINUX: &[u8] = b"Linux version ";
    let text = if is_bzimage(image) {
        // boot.rst: kernel_version + 0x200 is the offset of a string.
        image.get(usize::from(u16_at(image, 0x20e)?) + 0x200..)?
    } else {
        let start = image.windows(VMLINUX.len()).position(|window| window == VMLINUX)? + VMLINUX.len();
        image.get(start..)?
    };
    let end = text.iter().take(128).position(|&byte| byte == b' ' || byte == 0)?;
    String::from_utf8(text[..end].to_vec()).ok().filter(|release| !release.is_empty())
}

fn unpack(image: &[u8]) -> Result<Vec<u8>> {
    ensure!(is_bzimage(image), "neither a bzImage (no HdrS) nor an ELF file");
    if let Some(payload) = payload(image) {
        return decompress(payload);
    }
    // Boot protocols before 2.08 do not say where it is: the first magic that leads to an ELF file.
    (0..image.len())
        .filter(|&at| [GZIP, XZ, ZSTD, LZ4_LEGACY].iter().any(|magic| image[at..].starts_with(magic)))
        .find_map(|at| decompress(&image[at..]).ok().filter(|bytes| bytes.starts_with(ELF)))
        .context("no compressed kernel found in the bzImage")
}

fn is_bzimage(image: &[u8]) -> bool {
    image.get(0x202..0x206) == Some(b"HdrS")
}

/// Documentation/arch/x86/boot.rst: payload_offset counts from the end of the real-mode code.
fn payload(image: &[u8]) -> Option<&[u8]> {
    if u16_at(image, 0x206)? < 0x0208 {
        return None;
    }
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup_sectors + 1) * 512 + u32_at(image, 0x248)? as usize;
    image.get(start..start.checked_add(u32_at(image, 0x24c)? as usize)?).filter(|payload| !payload.is_empty())
}

/// The kernel's build appends the uncompressed size to the stream: bytes after the first stream are ignored.
fn decompress(payload: &[u8]) -> Result<Vec<u8>> {
    if payload.starts_with(GZIP) {
        read_limited(flate2::read::GzDecoder::new(payload)).context("gunzip the kernel")
    } else if payload.starts_with(XZ) {
        read_limited(liblzma::read::XzDecoder::new(payload)).context("unxz the kernel")
    } else if payload.starts_with(ZSTD) {
        let decoder = zstd::Decoder::with_buffer(payload).context("read the kernel's zstd header")?;
        read_limited(decoder.single_frame()).context("unzstd the kernel")
    } else if payload.starts_with(LZ4_LEGACY) {
        unlz4(&payload[LZ4_LEGACY.len()..]).context("unlz4 the kernel")
    } else {
        bail!("the kernel's compression is not one of gzip, xz, zstd, lz4");
    }
}

fn read_limited(reader: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_VMLINUX as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= MAX_VMLINUX, "more than {MAX_VMLINUX} bytes");
    Ok(bytes)
}

/// lz4's legacy frame: blocks, each with its compressed length before it; only the last one is short.
fn unlz4(mut blocks: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut block = vec![0; LZ4_BLOCK];
    while let Some((length, rest)) = blocks.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(data) = rest.get(..length).filter(|data| !data.is_empty()) else { break };
        let written = lz4_flex::block::decompress_into(data, &mut block)?;
        bytes.extend_from_slice(&block[..written]);
        ensure!(bytes.len() <= MAX_VMLINUX, "more than {MAX_VMLINUX} bytes");
        if written < LZ4_BLOCK {
            break;
        }
        blocks = &rest[length..];
    }
    Ok(bytes)
}

/// QEMU finds the PVH entry in the note `Xen`, type 18 (XEN_ELFNOTE_PHYS32_ENTRY), of a 64-bit x86 ELF file.
fn check_pvh(vmlinux: &[u8]) -> Result<()> {
    const ELFCLASS64_LSB: &[u8] = &[2, 1];
    const EM_X86_64: u16 = 62;
    const PT_NOTE: u32 = 4;
    ensure!(vmlinux.starts_with(ELF), "the unpacked kernel is not an ELF file");
    ensure!(vmlinux.get(4..6) == Some(ELFCLASS64_LSB), "the kernel is not a 64-bit little-endian ELF file");
    ensure!(u16_at(vmlinux, 18) == Some(EM_X86_64), "the kernel is not for x86-64");
    let table = u64_at(vmlinux, 32).context("the ELF header is cut short")? as usize;
    let size = usize::from(u16_at(vmlinux, 54).context("the ELF header is cut short")?);
    let count = usize::from(u16_at(vmlinux, 56).context("the ELF header is cut short")?);
    let has_entry =
        (0..count).filter_map(|index| vmlinux.get(table.checked_add(index * size)?..)).any(|header| {
            u32_at(header, 0) == Some(PT_NOTE) && segment(vmlinux, header).is_some_and(has_pvh_note)
        });
    ensure!(has_entry, "the kernel has no PVH entry (CONFIG_PVH)");
    Ok(())
}

fn segment<'a>(file: &'a [u8], header: &[u8]) -> Option<&'a [u8]> {
    let start = u64_at(header, 8)? as usize;
    file.get(start..start.checked_add(u64_at(header, 32)? as usize)?)
}

fn has_pvh_note(mut notes: &[u8]) -> bool {
    const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
    while let (Some(name), Some(description), Some(kind)) =
        (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8))
    {
        if kind == XEN_ELFNOTE_PHYS32_ENTRY && notes.get(12..16) == Some(b"Xen\0") && name == 4 {
            return true;
        }
        let length = 12 + (name as usize).next_multiple_of(4) + (description as usize).next_multiple_of(4);
        let Some(rest) = notes.get(length..) else { return false };
        notes = rest;
    }
    false
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An ELF file with one PT_NOTE segment; `kind` 18 is the PVH entry.
    fn vmlinux(kind: u32) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18] = 62;
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        let mut header = vec![0; 56];
        header[0] = 4;
        header[8] = 120;
        header[32] = 40;
        file.extend(header);
        for (kind, name) in [(1, b"GNU\0"), (kind, b"Xen\0")] {
            file.extend([4, 4, kind].iter().flat_map(|n: &u32| n.to_le_bytes()));
            file.extend(name);
            file.extend([0; 4]);
        }
        file.extend(b"Linux version 6.1.0-1-test (someone)");
        // Longer than one lz4 block, and not just zeros.
        file.extend((0..LZ4_BLOCK as u32 / 3).flat_map(u32::to_le_bytes));
        file
    }

    fn bzimage(payload: &[u8], version: u16) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&version.to_le_bytes());
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x309].copy_from_slice(b"6.1.0-9 x");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend([0xee; 16]);
        image.extend(payload);
        image.extend([0xee; 32]);
        image
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut frame = LZ4_LEGACY.to_vec();
        for chunk in bytes.chunks(LZ4_BLOCK) {
            let block = lz4_flex::block::compress(chunk);
            frame.extend((block.len() as u32).to_le_bytes());
            frame.extend(block);
        }
        frame
    }

    fn every_compression(bytes: &[u8]) -> [(&'static str, Vec<u8>); 4] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).expect("in memory");
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        xz.write_all(bytes).expect("in memory");
        [
            ("gzip", gzip.finish().expect("in memory")),
            ("xz", xz.finish().expect("in memory")),
            ("zstd", zstd::encode_all(bytes, 1).expect("in memory")),
            ("lz4", lz4(bytes)),
        ]
    }

    #[test]
    fn finds_the_kernel_in_a_bzimage_of_each_compression() {
        let expected = vmlinux(18);
        for (name, mut payload) in every_compression(&expected) {
            payload.extend((expected.len() as u32).to_le_bytes());
            for version in [0x020f, 0x0207] {
                let found =
                    extract(&bzimage(&payload, version)).unwrap_or_else(|error| panic!("{name}: {error:#}"));
                assert!(found == expected, "{name}, boot protocol {version:#x}");
            }
        }
    }

    #[test]
    fn a_vmlinux_is_taken_as_it_is() {
        assert!(extract(&vmlinux(18)).expect("valid") == vmlinux(18));
    }

    #[test]
    fn a_file_that_qemu_could_not_boot_is_refused() {
        for (image, why) in [
            (vmlinux(17), "no PVH entry"),
            (b"MZ and more".to_vec(), "neither a bzImage"),
            (bzimage(b"BZh9", 0x020f), "compression is not one of"),
            (bzimage(&zstd::encode_all(&b"text"[..], 1).expect("in memory"), 0x020f), "not an ELF file"),
            (vmlinux(18)[..70].to_vec(), "no PVH entry"),
        ] {
            let error = extract(&image).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }

    #[test]
    fn the_release_is_read_from_both_kinds() {
        assert_eq!(release(&bzimage(b"", 0x020f)).as_deref(), Some("6.1.0-9"));
        assert_eq!(release(&vmlinux(18)).as_deref(), Some("6.1.0-1-test"));
        assert_eq!(release(b"nothing"), None);
    }
}
