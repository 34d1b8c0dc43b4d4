//! A root in memory: paths are walked as the guest's kernel would, and cannot lead out of it.

use std::{cell::Cell, collections::VecDeque};

use crate::image::erofs::{Content, Kind, Node, NodeId, Tree};

use super::super::package::shown;

/// How many symbolic links a path may go through, as Linux has it.
const MOST_LINKS: u32 = 40;
/// The longest name.
const NAME_MAX: usize = 255;

/// The most parts of paths that are walked for one root, those of links included: a hundred times as many as large roots have.
/// Packages with long paths through many links would take hours.
const MOST_STEPS: u64 = 100_000_000;

/// Why a root cannot be composed: a clause with the path.
pub(super) type Fault = String;

/// A root that is being composed.
#[derive(Debug)]
pub(super) struct Root {
    /// Its tree.
    pub(super) tree: Tree,
    /// The parts that may still be walked.
    steps: Cell<u64>,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// To this node.
    Node(NodeId),
    /// To no node.
    Missing,
}

/// The parts of a path: without empty ones and `.`.
///
/// # Errors
/// For `..`, which no package needs, and for a name that Linux does not allow, or apk's database cannot have.
pub(super) fn parts(path: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) {
        return Err(format!("{}: it leads out of its directory by ..", shown(path)));
    }
    // A line of the database would end there, and what follows would be another record.
    if path.contains(&b'\n') || path.contains(&0) {
        return Err(format!("{}: a name has a line break or a NUL in it", shown(path)));
    }
    match parts.iter().any(|part| part.len() > NAME_MAX) {
        true => Err(format!("{}: a name is longer than {NAME_MAX} bytes", shown(path))),
        false => Ok(parts),
    }
}

impl Root {
    pub(super) fn new() -> Self {
        Self::within(MOST_STEPS)
    }

    fn within(steps: u64) -> Self {
        Self { tree: Tree::new(), steps: Cell::new(steps) }
    }

    fn step(&self, path: &[u8]) -> Result<(), Fault> {
        let left = self.steps.get().checked_sub(1);
        self.steps.set(left.ok_or_else(|| {
            format!("{}: paths and links of the packages are so long that it takes too long", shown(path))
        })?);
        Ok(())
    }

    /// Walks a path; symbolic links on the way are followed, one at its end with `follow`.
    ///
    /// # Errors
    /// For a path through a file, or through too many links, and when all paths together were too long.
    pub(super) fn find(&self, path: &[u8], follow: bool) -> Result<Found, Fault> {
        let mut rest: VecDeque<Vec<u8>> = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
        let (mut open, mut links) = (vec![Tree::ROOT], 0);
        while let Some(part) = rest.pop_front() {
            self.step(path)?;
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    // Above the root is the root.
                    open.truncate(open.len().saturating_sub(1).max(1));
                    continue;
                }
                _ => {}
            }
            let here = open.last().copied().unwrap_or(Tree::ROOT);
            let Some(entries) = self.tree.entries(here) else {
                return Err(format!("{}: a part of the path is not a directory", shown(path)));
            };
            let Some(&child) = entries.get(&part) else { return Ok(Found::Missing) };
            let is_last = rest.iter().all(|part| part.is_empty() || part == b".");
            match self.tree.nodes.get(child).map(|node| &node.kind) {
                Some(Kind::Symlink(target)) if follow || !is_last => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(format!("{}: it leads through too many symbolic links", shown(path)));
                    }
                    if target.starts_with(b"/") {
                        open.truncate(1);
                    }
                    for part in target.split(|byte| *byte == b'/').rev() {
                        rest.push_front(part.to_vec());
                    }
                }
                _ => open.push(child),
            }
        }
        Ok(Found::Node(open.last().copied().unwrap_or(Tree::ROOT)))
    }

    /// The directory that a path leads to.
    pub(super) fn directory(&self, path: &[u8]) -> Result<Option<NodeId>, Fault> {
        match self.find(path, true)? {
            Found::Node(node) if self.tree.entries(node).is_some() => Ok(Some(node)),
            Found::Node(_) | Found::Missing => Ok(None),
        }
    }

    /// The directory of a path's last part, and this part; `None` if that directory is not there.
    pub(super) fn parent(&self, path: &[u8]) -> Result<Option<(NodeId, Vec<u8>)>, Fault> {
        let parts = parts(path)?;
        let Some((name, above)) = parts.split_last() else {
            return Err(format!("{}: it is the root itself", shown(path)));
        };
        let directory = self.directory(&above.join(&b'/'))?;
        Ok(directory.map(|directory| (directory, name.to_vec())))
    }

    /// The entry of a directory.
    pub(super) fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        self.tree.entries(directory)?.get(name).copied()
    }

    /// A node.
    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.tree.nodes.get(id)
    }

    /// Gives a node a name, in place of any other node.
    pub(super) fn link(&mut self, directory: NodeId, name: Vec<u8>, node: NodeId) {
        if let Some(entries) = self.tree.entries_mut(directory) {
            entries.insert(name, node);
        }
    }

    /// Makes a directory and those above it that are missing (0755, root's); one that is there stays as it is.
    pub(super) fn make_directory(&mut self, path: &[u8], mode: u16) -> Result<NodeId, Fault> {
        self.make_path(path, mode, 0o755)
    }

    /// The same, but all directories that are missing get the mode.
    pub(super) fn make_directories(&mut self, path: &[u8], mode: u16) -> Result<NodeId, Fault> {
        self.make_path(path, mode, mode)
    }

    fn make_path(&mut self, path: &[u8], mode: u16, above: u16) -> Result<NodeId, Fault> {
        let all = parts(path)?;
        let mut here = Tree::ROOT;
        for (at, name) in all.iter().enumerate() {
            let prefix = all.get(..=at).unwrap_or_default().join(&b'/');
            here = match self.find(&prefix, true)? {
                Found::Node(node) if self.tree.entries(node).is_some() => node,
                Found::Node(_) => return Err(format!("{}: it is not a directory", shown(&prefix))),
                Found::Missing if self.child(here, name).is_some() => {
                    return Err(format!("{}: it is a symbolic link that leads to nothing", shown(&prefix)));
                }
                Found::Missing => {
                    let mode = if at + 1 == all.len() { mode } else { above };
                    let node = self.tree.add(Node::new(Kind::Directory(Default::default()), mode));
                    self.link(here, name.to_vec(), node);
                    node
                }
            };
        }
        Ok(here)
    }

    /// Writes a file of root's in place of any other one; directories above it are made.
    pub(super) fn write(&mut self, path: &[u8], content: Vec<u8>, mode: u16) -> Result<(), Fault> {
        let all = parts(path)?;
        let Some((name, above)) = all.split_last() else { return Ok(()) };
        let directory = self.make_directory(&above.join(&b'/'), 0o755)?;
        let node = self.tree.add(Node::new(Kind::File(Content::Bytes(content)), mode));
        self.link(directory, name.to_vec(), node);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(links: &[(&str, &str)]) -> Root {
        let mut root = Root::new();
        root.make_directory(b"usr/lib", 0o755).expect("made");
        root.write(b"usr/lib/f", b"x".to_vec(), 0o644).expect("written");
        for (path, target) in links {
            let (directory, name) = root.parent(path.as_bytes()).expect("valid").expect("there");
            let node = root.tree.add(Node::new(Kind::Symlink(target.as_bytes().to_vec()), 0o777));
            root.link(directory, name, node);
        }
        root
    }

    #[test]
    fn links_are_followed_and_never_lead_out() {
        let root = root(&[
            ("lib", "usr/lib"),
            ("up", "../../../usr/lib"),
            ("usr/absolute", "/lib"),
            ("usr/lib/out", "/../../etc/passwd"),
        ]);
        let file = root.find(b"usr/lib/f", false).expect("walked");
        assert_ne!(file, Found::Missing);
        for path in ["lib/f", "up/f", "usr/absolute/f", "/usr//./lib/f", "usr/../lib/f", "../../lib/f"] {
            assert_eq!(root.find(path.as_bytes(), false).expect("walked"), file, "{path}");
        }
        assert_eq!(root.find(b"usr/lib/out", true).expect("walked"), Found::Missing);
    }

    #[test]
    fn endless_links_and_ways_through_files_are_errors() {
        let root = root(&[("a", "b"), ("b", "a")]);
        assert!(root.find(b"a", true).expect_err("endless").contains("too many symbolic links"));
        assert!(root.find(b"a", false).is_ok());
        assert!(root.find(b"usr/lib/f/x", true).expect_err("a file").contains("not a directory"));
    }

    #[test]
    fn long_ways_end() {
        let mut root = Root::within(10_000);
        root.make_directory(b"a/b/c/d/e", 0o755).expect("made");
        let walked = (0..10_000).find_map(|_| root.find(b"a/b/../../a/b/c/d/e/..", true).err());
        assert!(walked.expect("it ends").contains("takes too long"));
    }

    #[test]
    fn paths_with_dots_and_long_names_are_refused() {
        for path in ["a\nF:etc", "a\0b"] {
            assert!(
                parts(path.as_bytes()).expect_err("refused").contains("a line break or a NUL"),
                "{path:?}"
            );
        }
        for path in ["../x", "usr/../../x", "a/.."] {
            assert!(parts(path.as_bytes()).expect_err("refused").contains("by .."), "{path}");
        }
        assert!(parts(&[b'n'; 256]).is_err());
        assert_eq!(parts(b"./usr//lib/").expect("plain"), [b"usr", b"lib"]);
    }

    #[test]
    fn a_directory_goes_through_links_and_not_through_files() {
        let mut root = root(&[("lib", "usr/lib"), ("gone", "nowhere")]);
        root.make_directory(b"lib/apk/db", 0o700).expect("made");
        assert!(matches!(root.find(b"usr/lib/apk/db", false), Ok(Found::Node(_))));
        assert!(root.make_directory(b"gone/x", 0o755).expect_err("no").contains("leads to nothing"));
        assert!(root.make_directory(b"lib/f", 0o755).expect_err("no").contains("not a directory"));
    }
}
