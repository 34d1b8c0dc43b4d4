//! A walk over all that lies below a directory, in the order of its names. No link is followed.

use std::{io, ops::ControlFlow};

use anyhow::{Context, Result};
use nix::sys::stat::FileStat;

use super::{BeneathDir, FileType, file_type, join, shown};

/// How many directories are open at once; those further up are opened again when the walk comes back.
const OPEN: usize = 64;
/// The walk goes no deeper: ten times as deep as a path can be named.
const DEEPEST: usize = 20_000;
/// A path is opened in pieces that are shorter than PATH_MAX.
const PIECE: usize = 4_000;

/// An entry below the top.
pub(in crate::cache) struct Found<'a> {
    /// The directory that it lies in.
    pub dir: &'a BeneathDir,
    pub name: &'a [u8],
    /// From the top.
    pub path: &'a [u8],
    pub stat: FileStat,
    pub file_type: FileType,
    /// Whether it is a directory that lies too deep: its content is not shown.
    pub unseen: bool,
}

/// A directory on the way down, and its entries that have not been visited.
struct Open {
    /// None while it is closed for those below.
    dir: Option<BeneathDir>,
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
}

/// How a walk ended.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cache) enum Seen {
    All,
    /// The visitor ended it.
    Part,
}

/// What a walk passes over.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cache) struct PassOver<'a> {
    /// The entry of this name at the top, and all below it.
    pub at_top: Option<&'a [u8]>,
    /// Directories that this user may not read; else they are an error.
    pub unreadable: bool,
}

/// Shows all entries below `top` to `visit`, a directory before its entries, until `visit` ends the walk. An entry that
/// disappears meanwhile is passed over.
pub(in crate::cache) fn walk(
    top: &BeneathDir,
    visit: impl FnMut(&Found<'_>) -> Result<ControlFlow<()>>,
) -> Result<Seen> {
    walk_but(top, PassOver::default(), visit)
}

/// The same, without the entries that are to be passed over.
pub(in crate::cache) fn walk_but(
    top: &BeneathDir,
    pass_over: PassOver<'_>,
    mut visit: impl FnMut(&Found<'_>) -> Result<ControlFlow<()>>,
) -> Result<Seen> {
    let mut stack = Vec::new();
    stack.extend(open(top, b"", b"")?);
    loop {
        let depth = stack.len();
        let Some(Open { dir, path, names }) = stack.last_mut() else { return Ok(Seen::All) };
        let Some(name) = names.next() else {
            stack.pop();
            continue;
        };
        if dir.is_none() {
            *dir = reopen(top, path).with_context(|| format!("open {}", shown(path)))?;
        }
        let Some(here) = dir.as_ref() else {
            stack.pop();
            continue;
        };
        let Some(stat) = here.stat(&name).with_context(|| format!("look at {}", shown(&name)))? else {
            continue;
        };
        let whole = join(path, &name);
        if pass_over.at_top == Some(&whole) {
            continue;
        }
        let file_type = file_type(&stat);
        let unseen = file_type == FileType::Directory && depth >= DEEPEST;
        let found = Found { dir: here, name: &name, path: &whole, stat, file_type, unseen };
        if visit(&found)?.is_break() {
            return Ok(Seen::Part);
        }
        if file_type == FileType::Directory && !unseen {
            match open(here, &name, &whole) {
                Err(error) if pass_over.unreadable && is_forbidden(&error) => {}
                below => stack.extend(below?),
            }
            if let Some(above) = stack.len().checked_sub(OPEN + 1) {
                stack[above].dir = None;
            }
        }
    }
}

fn open(above: &BeneathDir, name: &[u8], path: &[u8]) -> Result<Option<Open>> {
    let doing = || format!("list {}", shown(path));
    let Some(dir) = above.dir(name).with_context(doing)? else { return Ok(None) };
    let names = dir.names().with_context(doing)?.into_iter();
    Ok(Some(Open { dir: Some(dir), path: path.to_vec(), names }))
}

fn is_forbidden(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::PermissionDenied)
}

/// Opens a directory by a path of any length.
fn reopen(top: &BeneathDir, mut path: &[u8]) -> io::Result<Option<BeneathDir>> {
    let mut dir = top.dir(b"")?;
    while let (Some(here), false) = (&dir, path.is_empty()) {
        // A name has at most 255 bytes.
        let cut = match path.get(..PIECE) {
            None => path.len(),
            Some(piece) => piece.iter().rposition(|&byte| byte == b'/').unwrap_or(path.len()),
        };
        let next = here.dir(&path[..cut])?;
        path = path.get(cut + 1..).unwrap_or_default();
        dir = next;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn entries_are_shown_in_order_and_no_link_is_followed() {
        let root = tempfile::tempdir().expect("a directory");
        for path in ["over/x", "b/c/d", "a", "b/a", "b/over"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, "x").expect("written");
        }
        symlink("..", root.path().join("b/up")).expect("linked");
        let dir = BeneathDir::open(root.path()).expect("opened");
        let mut seen = Vec::new();
        let pass_over = PassOver { at_top: Some(b"over"), unreadable: false };
        let end = walk_but(&dir, pass_over, |found| {
            seen.push(String::from_utf8_lossy(found.path).into_owned());
            Ok(if found.path == b"b/up" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        assert_eq!(seen, ["a", "b", "b/a", "b/c", "b/c/d", "b/over", "b/up"]);
        assert_eq!(end.expect("walked"), Seen::Part);
    }

    #[test]
    fn entries_are_shown_at_any_depth() {
        let root = tempfile::tempdir().expect("a directory");
        let top = BeneathDir::open(root.path()).expect("opened");
        let mut dir = top.dir(b"").expect("looked").expect("it is there");
        // Deeper than descriptors would last, and longer than a path may be.
        let (depth, name) = (700, [b'd'; 20]);
        for _ in 0..depth {
            dir.create(b"file").expect("made");
            dir = dir.make(&name).expect("made");
        }
        let (mut files, mut longest, mut unseen) = (0, 0, 0);
        let end = walk(&top, |found| {
            files += usize::from(found.file_type == FileType::File);
            unseen += usize::from(found.unseen);
            longest = longest.max(found.path.len());
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!(end.expect("walked"), Seen::All);
        assert_eq!((files, longest, unseen), (depth, depth * 21 - 1, 0));
        super::super::remove::tree(&top, &name).expect("removed");
    }
}
