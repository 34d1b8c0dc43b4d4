//! The build information that Go's linker leaves in a program.

use std::io::{self, Read, Seek};

use super::source::Source;

/// What the information starts with, at a multiple of 16 bytes.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Magic number, width of pointers, flags, and padding.
const HEADER_BYTES: usize = 32;
/// In the flags: the texts follow the header. Go 1.17 and older have pointers there, and record no settings.
const INLINE: u8 = 2;
/// How far the information is searched for in a file that has no section for it.
const SEARCHED_BYTES: u64 = 64 << 10;
/// The longest text that is read. It names each module of the program, with its digest.
const MAX_TEXT: u64 = 1 << 20;
/// What the linker puts before and after the list of modules.
const FRAME: usize = 16;

/// Values of `GOEXPERIMENT`: the ways to have OpenSSL in place of Go's cryptography, in the toolchains that have one.
const EXPERIMENTS: [&[u8]; 4] = [
    b"build\tGOEXPERIMENT=boringcrypto",
    b"build\tGOEXPERIMENT=systemcrypto",
    b"build\tGOEXPERIMENT=opensslcrypto",
    b"build\tmicrosoft_systemcrypto=1",
];

/// Whether a program of Go loads OpenSSL's library when it runs. The information is looked for in `size` bytes at `offset`.
pub(super) fn loads_openssl(
    source: &mut Source<'_, impl Read + Seek>,
    offset: u64,
    size: u64,
) -> io::Result<bool> {
    let searched = source.up_to(offset, size.min(SEARCHED_BYTES) as usize)?;
    let Some(index) = searched.chunks(16).position(|chunk| chunk.starts_with(MAGIC)) else {
        return Ok(false);
    };
    let Some(start) = offset.checked_add(16 * index as u64) else { return Ok(false) };
    let text = source.up_to(start, HEADER_BYTES)?;
    if text.len() < HEADER_BYTES || text.get(15).is_none_or(|flags| flags & INLINE == 0) {
        return Ok(false);
    }
    let Some((version, after)) = text_at(source, start + HEADER_BYTES as u64)? else { return Ok(false) };
    let Some((modules, _)) = text_at(source, after)? else { return Ok(false) };
    Ok(!version.is_empty() && says_openssl(&modules))
}

/// A text with its length before it (in groups of 7 bits), and the offset behind it.
fn text_at(source: &mut Source<'_, impl Read + Seek>, offset: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    let prefix = source.up_to(offset, 5)?;
    let Some(last) = prefix.iter().position(|byte| byte & 0x80 == 0) else { return Ok(None) };
    let groups = prefix.get(..=last).unwrap_or_default();
    let length = groups.iter().rev().fold(0, |length, group| (length << 7) | u64::from(group & 0x7f));
    let Some(start) = offset.checked_add(groups.len() as u64) else { return Ok(None) };
    if length > MAX_TEXT {
        return Ok(None);
    }
    let text = source.exact(start, length as usize)?;
    Ok(text.map(|text| (text, start + length)))
}

fn says_openssl(modules: &[u8]) -> bool {
    let Some(end) = modules.len().checked_sub(FRAME) else { return false };
    let Some(text) = modules.get(FRAME..end).filter(|text| text.ends_with(b"\n")) else { return false };
    let mut uses_cgo = false;
    let mut uses_openssl = false;
    for line in text.split(|&byte| byte == b'\n') {
        uses_cgo |= line == b"build\tCGO_ENABLED=1";
        uses_openssl |= EXPERIMENTS.contains(&line);
    }
    uses_cgo && uses_openssl
}
