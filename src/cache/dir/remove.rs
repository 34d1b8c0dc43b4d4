//! Removes trees of any depth: without recursion, and without following links.

use std::{io, ops::ControlFlow};

use anyhow::Result;

use super::{
    BeneathDir, FileType, Renamed,
    ctime::Stamp,
    file_type, permissions, usage,
    walk::{Seen, walk},
};
use crate::event::Amount;

/// Removes `name` and all below it. Holds one descriptor for each level, at most [`OPEN`].
pub(in crate::cache) fn tree(parent: &BeneathDir, name: &[u8]) -> io::Result<()> {
    let mut lifted = 0;
    loop {
        match parent.stat(name)?.map(|stat| file_type(&stat)) {
            None => return Ok(()),
            Some(FileType::Directory) => {}
            Some(FileType::File | FileType::Symlink | FileType::Other) => return parent.unlink(name),
        }
        if empty(parent, name, &mut lifted)? {
            parent.remove_empty(name)?;
        }
    }
}

/// Removes `name` and all below it, even from a directory that its owner may not write. The directory keeps its mode.
pub(in crate::cache) fn forced(parent: &BeneathDir, name: &[u8]) -> io::Result<()> {
    let mode = permissions(&parent.itself()?);
    writable(parent)?;
    tree(parent, name)?;
    if mode & 0o700 == 0o700 { Ok(()) } else { parent.set_mode(mode) }
}

/// How deep one descent goes. A directory that lies deeper is moved up and removed by the next descent.
const OPEN: usize = 64;

/// Empties the directory `name`; false when something was moved up into it and another round is needed.
fn empty(parent: &BeneathDir, name: &[u8], lifted: &mut u64) -> io::Result<bool> {
    let Some(top) = open_forced(parent, name)? else { return Ok(true) };
    writable(&top)?;
    let mut stack: Vec<(BeneathDir, Vec<Vec<u8>>, Vec<u8>)> = Vec::new();
    let names = top.names()?;
    let before = *lifted;
    stack.push((top, names, Vec::new()));
    while let Some((dir, names, own)) = stack.last_mut() {
        let Some(next) = names.pop() else {
            let own = std::mem::take(own);
            stack.pop();
            if let Some((above, ..)) = stack.last() {
                above.remove_empty(&own)?;
            }
            continue;
        };
        match dir.stat(&next)?.map(|stat| file_type(&stat)) {
            None => {}
            Some(FileType::Directory) => {
                let Some(below) = open_forced(dir, &next)? else { continue };
                writable(&below)?;
                if stack.len() < OPEN {
                    let names = below.names()?;
                    stack.push((below, names, next));
                } else {
                    let (last, (above, ..)) = (stack.len() - 1, &stack[0]);
                    // The name may be taken by an earlier descent or a build.
                    loop {
                        *lifted += 1;
                        let up = format!(".deep-{lifted}");
                        if stack[last].0.move_new(&next, above, up.as_bytes())? == Renamed::Done {
                            break;
                        }
                    }
                }
            }
            Some(FileType::File | FileType::Symlink | FileType::Other) => dir.unlink(&next)?,
        }
    }
    Ok(*lifted == before)
}

/// Opens a directory that its owner may not even read.
fn open_forced(parent: &BeneathDir, name: &[u8]) -> io::Result<Option<BeneathDir>> {
    match parent.dir(name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            parent.set_mode_of(name, 0o700)?;
            parent.dir(name)
        }
        result => result,
    }
}

/// Makes a directory writable for its owner: Go's directories are not.
pub(in crate::cache) fn writable(dir: &BeneathDir) -> io::Result<()> {
    let mode = dir.itself()?.st_mode & 0o7777;
    if mode & 0o700 == 0o700 { Ok(()) } else { dir.set_mode(mode | 0o700) }
}

/// Whether an entry of a tree was changed, or put there ([`super::ctime`]), after `since`. One that lies too deep counts as
/// changed.
pub(in crate::cache) fn changed_since(parent: &BeneathDir, name: &[u8], since: Stamp) -> Result<bool> {
    let Some(stat) = parent.stat(name)? else { return Ok(false) };
    if file_type(&stat) != FileType::Directory {
        return Ok((stat.st_ctime, stat.st_ctime_nsec) > since);
    }
    let Some(dir) = parent.dir(name)? else { return Ok(false) };
    // The time of a directory says that an entry was removed or added. Added entries are seen themselves.
    let seen = walk(&dir, |found| {
        let later = (found.stat.st_ctime, found.stat.st_ctime_nsec) > since;
        let changed = if found.file_type == FileType::Directory { found.unseen } else { later };
        Ok(if changed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(seen == Seen::Part)
}

/// Removes the files and links that were not changed after `since`, and the directories that this leaves empty. Returns how
/// many files and links these were.
pub(in crate::cache) fn tree_older(
    parent: &BeneathDir,
    name: &[u8],
    since: Stamp,
    depth: usize,
) -> io::Result<Amount> {
    let mut removed = Amount::default();
    let Some(stat) = parent.stat(name)? else { return Ok(removed) };
    if file_type(&stat) != FileType::Directory {
        if (stat.st_ctime, stat.st_ctime_nsec) <= since {
            parent.unlink(name)?;
            removed = usage::of(&stat);
        }
        return Ok(removed);
    }
    let Some(dir) = parent.dir(name)? else { return Ok(removed) };
    if depth == 0 {
        return Ok(removed);
    }
    writable(&dir)?;
    for name in dir.names()? {
        removed = removed.plus(tree_older(&dir, &name, since, depth - 1)?);
    }
    parent.remove_empty(name)?;
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_tree_deeper_than_any_path_is_removed_and_no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("stays"), "x").expect("written");
        let top = BeneathDir::open(dir.path()).expect("opened");
        let mut dir = top.make(b"deep").expect("made");
        for _ in 0..3000 {
            dir.symlink(b"/etc", b"link").expect("linked");
            dir = dir.make(b"directory").expect("made");
        }
        tree(&top, b"deep").expect("removed");
        assert_eq!(top.names().expect("listed"), [b"stays".to_vec()]);
    }

    #[test]
    fn a_tree_that_cannot_be_read_is_removed() {
        let temp = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(temp.path().join("a/b/c")).expect("made");
        for name in ["a/b", "a"] {
            fs::set_permissions(temp.path().join(name), fs::Permissions::from_mode(0o000)).expect("set");
        }
        let dir = BeneathDir::open(temp.path()).expect("opened");
        assert!(open_forced(&dir, b"a").expect("opened").is_some());
        dir.set_mode_of(b"a", 0).expect("set");
        tree(&dir, b"a").expect("removed");
        assert_eq!(fs::read_dir(temp.path()).expect("listed").count(), 0);
    }

    #[test]
    fn read_only_directories_are_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("a/b")).expect("made");
        fs::write(dir.path().join("a/b/c"), "x").expect("written");
        for name in ["a/b", "a"] {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o555)).expect("set");
        }
        tree(&BeneathDir::open(dir.path()).expect("opened"), b"a").expect("removed");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
    }
}
