//! Relative paths as bytes, with slashes between names: nothing is opened here.

/// The directory of a path, and its last name.
pub(in crate::cache) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// A name below a directory.
pub(in crate::cache) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, name].join(&b'/') }
}

/// A path as it is shown in messages: quoted, and cut.
pub(in crate::cache) fn shown(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&path[..path.len().min(200)]))
}

/// Whether `path` is `directory` or lies below it.
pub(in crate::cache) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// A path and all directories above it.
pub(in crate::cache) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let cut = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
    cut.chain(std::iter::once(path))
}
