//! The tree of a tar's entries, whose contents stay in the tar. The tar is hostile.

use std::collections::{BTreeMap, HashMap};

use super::{
    apk::shown,
    erofs::{Content, Kind, Node, NodeId, Tree},
};
use crate::apk::{
    tar::{Entry, EntryType},
    ustar::XATTR_PREFIX,
};

/// The most bytes of the extended attributes of a file: Linux lists no more than 64 KiB, and an image holds no more.
const MOST_ATTRIBUTES: usize = 96 << 10;

/// The tree of a tar that names each directory before its entries, and no file twice, as [`super::archive`] writes it.
///
/// # Errors
/// A clause with the path of an entry that such a tar does not have.
pub(super) fn tree(entries: &[Entry]) -> Result<Tree, String> {
    let mut tree = Tree::new();
    let mut known: HashMap<Vec<u8>, NodeId> = HashMap::new();
    for entry in entries {
        let fault = |why: &str| format!("{}: {why}", shown(&entry.path));
        let path = path(&entry.path).ok_or_else(|| fault("it leads elsewhere"))?;
        let kind = match entry.kind {
            EntryType::Directory => Kind::Directory(BTreeMap::new()),
            EntryType::File => {
                Kind::File(Content::Extent { source: 0, offset: entry.offset, size: entry.size })
            }
            EntryType::Symlink => Kind::Symlink(entry.target.clone()),
            EntryType::HardLink => {
                let target = self::path(&entry.target).and_then(|target| known.get(&target).copied());
                let target = target.ok_or_else(|| fault("it is a link to a file that is not there"))?;
                if tree.entries(target).is_some() {
                    return Err(fault("it is a link to a directory"));
                }
                name(&mut tree, &mut known, path, target).map_err(fault)?;
                continue;
            }
            EntryType::Other(_) => {
                return Err(fault("it is a device, or of another kind that roots do not have"));
            }
        };
        let node = node(entry, kind)?;
        match (path.is_empty(), tree.nodes.get_mut(Tree::ROOT)) {
            (true, Some(root)) if known.is_empty() && matches!(node.kind, Kind::Directory(_)) => {
                *root = node;
                known.insert(path, Tree::ROOT);
            }
            (true, _) => return Err(fault("the root is there twice, or is no directory")),
            (false, _) => {
                let id = tree.add(node);
                name(&mut tree, &mut known, path, id).map_err(fault)?;
            }
        }
    }
    match known.is_empty() {
        true => Err("it has no entries".into()),
        false => Ok(tree),
    }
}

/// Gives a node a name that no other has.
fn name(
    tree: &mut Tree,
    known: &mut HashMap<Vec<u8>, NodeId>,
    path: Vec<u8>,
    node: NodeId,
) -> Result<(), &'static str> {
    let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[][..], &path[..]),
    };
    // Never through a link: those are not directories.
    let above = known.get(above).copied().ok_or("its directory is not there before it")?;
    let entries = tree.entries_mut(above).ok_or("it lies in a file")?;
    if entries.insert(name.to_vec(), node).is_some() {
        return Err("it is there twice");
    }
    known.insert(path, node);
    Ok(())
}

/// A path without `./` in front and slashes at the end; `None` for one with other odd parts.
fn path(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let text = text.get(..end)?;
    let text = if text == b"." { b"" } else { text.strip_prefix(b"./").unwrap_or(text) };
    let is_odd = |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.contains(&0);
    match !text.is_empty() && text.split(|byte| *byte == b'/').any(is_odd) {
        true => None,
        false => Some(text.to_vec()),
    }
}

/// A node with the mode, owners, time and extended attributes of an entry.
///
/// # Errors
/// A clause with the path, for attributes that Linux cannot have.
pub(super) fn node(entry: &Entry, kind: Kind) -> Result<Node, String> {
    let mut node = Node::new(kind, entry.mode);
    (node.uid, node.gid, node.mtime) = (entry.uid, entry.gid, entry.mtime);
    for (key, value) in &entry.records {
        let Some(name) = key.strip_prefix(XATTR_PREFIX.as_bytes()) else { continue };
        if !Tree::can_have_attribute(name, value) {
            return Err(format!("{}: Linux has no attribute {}", shown(&entry.path), shown(name)));
        }
        node.xattrs.insert(name.to_vec(), value.clone());
    }
    let bytes: usize = node.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    match bytes > MOST_ATTRIBUTES {
        true => {
            Err(format!("{}: its attributes are longer than {MOST_ATTRIBUTES} bytes", shown(&entry.path)))
        }
        false => Ok(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: EntryType, target: &str) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0o755,
            uid: 1,
            gid: 2,
            mtime: 3,
            target: target.into(),
            records: BTreeMap::new(),
            offset: 512,
            size: 0,
        }
    }

    fn directory(path: &str) -> Entry {
        entry(path, EntryType::Directory, "")
    }

    fn file(path: &str) -> Entry {
        entry(path, EntryType::File, "")
    }

    #[test]
    fn the_tree_is_that_of_the_tar() {
        let entries = [
            directory("."),
            directory("./a/"),
            file("./a/f"),
            entry("./a/hard", EntryType::HardLink, "./a/f"),
            entry("./link", EntryType::Symlink, "../../a"),
        ];
        let tree = tree(&entries).expect("valid");
        let names = |id| tree.entries(id).map(|entries| entries.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names(Tree::ROOT), Some(vec![b"a".to_vec(), b"link".to_vec()]));
        let a = tree.entries(Tree::ROOT).and_then(|entries| entries.get(&b"a"[..])).copied().expect("there");
        assert_eq!(names(a), Some(vec![b"f".to_vec(), b"hard".to_vec()]));
        let of = |name: &[u8]| tree.entries(a).and_then(|entries| entries.get(name)).copied();
        assert_eq!(of(b"f"), of(b"hard"));
        assert_eq!(tree.nodes.first().map(|root| (root.uid, root.gid, root.mtime)), Some((1, 2, 3)));
    }

    #[test]
    fn what_no_export_has_is_refused() {
        let root = || directory(".");
        for (entries, part) in [
            (vec![], "no entries"),
            (vec![file(".")], "no directory"),
            (vec![root(), root()], "twice"),
            (vec![file("./a")], "not there before"),
            (vec![root(), file("./a/b")], "not there before"),
            (vec![root(), file("./a"), file("./a/b")], "lies in a file"),
            (vec![root(), file("./a"), file("a")], "twice"),
            (vec![root(), entry("./l", EntryType::Symlink, "/etc"), file("./l/b")], "lies in a file"),
            (vec![root(), file("./../b")], "leads elsewhere"),
            (vec![root(), file("/etc/passwd")], "leads elsewhere"),
            (vec![root(), file("./a//b")], "leads elsewhere"),
            (vec![root(), entry("./h", EntryType::HardLink, "./a")], "not there"),
            (vec![root(), entry("./h", EntryType::HardLink, "../a")], "not there"),
            (vec![root(), directory("./a"), entry("./h", EntryType::HardLink, "a")], "to a directory"),
            (vec![root(), entry("./d", EntryType::Other(b'3'), "")], "a device"),
        ] {
            let fault = tree(&entries).expect_err("refused");
            assert!(fault.contains(part), "{fault}, not {part}");
        }
    }
}
