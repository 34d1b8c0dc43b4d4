//! The tree that becomes an image: entries in memory, contents in other files.

use std::collections::BTreeMap;

use super::format::{NAME_MAX, split_xattr};

/// A node's place in [`Tree::nodes`].
pub(in crate::image) type NodeId = usize;

/// A tree of files. The first node is the topmost directory. Several names of one node are hard links.
#[derive(Debug)]
pub(in crate::image) struct Tree {
    /// All nodes, in any order.
    pub(in crate::image) nodes: Vec<Node>,
}

/// A file of any kind, without its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::image) struct Node {
    /// Its kind and content.
    pub(in crate::image) kind: Kind,
    /// Permission bits and the three special bits (07777).
    pub(in crate::image) mode: u16,
    /// Owner.
    pub(in crate::image) uid: u32,
    /// Group.
    pub(in crate::image) gid: u32,
    /// When it was changed, in seconds since the epoch.
    pub(in crate::image) mtime: u64,
    /// Extended attributes by their whole names.
    pub(in crate::image) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The kind of a file, and what it holds. Device files are not among them: every backend has a `/dev` of its own, and an
/// ordinary user cannot unpack them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::image) enum Kind {
    /// Names and nodes.
    Directory(BTreeMap<Vec<u8>, NodeId>),
    /// A regular file.
    File(Content),
    /// The target of a symbolic link.
    Symlink(Vec<u8>),
}

/// The bytes of a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::image) enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// A range of one of the files that the writer is given.
    Extent {
        /// The file's place among those files.
        source: usize,
        /// The first byte.
        offset: u64,
        /// How many bytes.
        size: u64,
    },
}

impl Content {
    /// Its bytes' number.
    pub(in crate::image) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Extent { size, .. } => *size,
        }
    }
}

impl Tree {
    /// The number of the topmost directory.
    pub(in crate::image) const ROOT: NodeId = 0;

    /// A tree of one directory that belongs to root, with the mode 0755.
    pub(in crate::image) fn new() -> Self {
        Self { nodes: vec![Node::new(Kind::Directory(BTreeMap::new()), 0o755)] }
    }

    /// Whether the format can hold an extended attribute.
    pub(in crate::image) fn can_have_attribute(name: &[u8], value: &[u8]) -> bool {
        split_xattr(name).is_some_and(|(_, rest)| rest.len() <= NAME_MAX)
            && u16::try_from(value.len()).is_ok()
    }

    /// Adds a node without a name.
    pub(in crate::image) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The entries of a node; `None` if it is not a directory.
    pub(in crate::image) fn entries(&self, node: NodeId) -> Option<&BTreeMap<Vec<u8>, NodeId>> {
        match self.nodes.get(node).map(|node| &node.kind) {
            Some(Kind::Directory(entries)) => Some(entries),
            _ => None,
        }
    }

    /// As [`Tree::entries`], to be changed.
    pub(in crate::image) fn entries_mut(&mut self, node: NodeId) -> Option<&mut BTreeMap<Vec<u8>, NodeId>> {
        match self.nodes.get_mut(node).map(|node| &mut node.kind) {
            Some(Kind::Directory(entries)) => Some(entries),
            _ => None,
        }
    }
}

impl Node {
    /// A node that belongs to root, changed at the epoch.
    pub(in crate::image) fn new(kind: Kind, mode: u16) -> Self {
        Self { kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() }
    }

    /// Kind and permission bits, as `st_mode`.
    pub(super) fn st_mode(&self) -> u16 {
        let kind = match self.kind {
            Kind::Directory(_) => 0o040_000,
            Kind::File(_) => 0o100_000,
            Kind::Symlink(_) => 0o120_000,
        };
        kind | self.mode & 0o7777
    }

    /// The type in an entry of a directory.
    pub(super) fn entry_type(&self) -> u8 {
        match self.kind {
            Kind::File(_) => 1,
            Kind::Directory(_) => 2,
            Kind::Symlink(_) => 7,
        }
    }
}
