//! Versions of kernels, and what stands before them.

/// The version's text in a kernel, and in a module.
pub(super) const LINUX_VERSION: &[u8] = b"Linux version ";
pub(super) const VERMAGIC: &[u8] = b"vermagic=";
/// A gzip file with deflate, the only method.
pub(super) const GZIP: &[u8] = b"\x1f\x8b\x08";

/// The longest version: `uname -r` has 64 bytes.
pub(super) const MAX_VERSION: usize = 256;

/// The version at the start of a text.
pub(super) fn version(text: &[u8]) -> Option<Box<str>> {
    let text = text.trim_ascii_start();
    let is_version = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    let length = text.iter().take(MAX_VERSION).position(|byte| !is_version(byte));
    let version = text.get(..length.unwrap_or(text.len().min(MAX_VERSION)))?;
    str::from_utf8(version).ok().filter(|version| !version.is_empty()).map(Into::into)
}
