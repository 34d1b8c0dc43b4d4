//! The entries of packages into a root: which file wins, and what belongs to which package, by apko's rules.

use std::collections::HashMap;

use crate::{
    apk::{
        tar::{Entry, EntryType},
        ustar::XATTR_PREFIX,
    },
    image::erofs::{Content, Kind, Node, NodeId, Tree},
};

use super::{
    super::package::{Package, checksum, shown},
    root::{Fault, Found, Root, parts},
};

/// A file or directory in the list of installed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Without a slash at either end.
    pub(super) path: Vec<u8>,
    /// Whether it is a directory.
    pub(super) directory: bool,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) checksum: Option<[u8; 20]>,
}

/// The most bytes of the extended attributes of a file: Linux lists no more than 64 KiB, and an image holds no more.
const MOST_ATTRIBUTES: usize = 96 << 10;

/// The packages in a root.
#[derive(Debug)]
pub(super) struct Installer<'p> {
    pub(super) root: Root,
    packages: &'p [Package],
    /// By package, its files; `None` for one that another package has overwritten.
    lists: Vec<Vec<Option<Listed>>>,
    /// By directory and name, the package that the file belongs to.
    owners: HashMap<(NodeId, Vec<u8>), Owner>,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    package: usize,
    /// Its place in the package's list.
    at: usize,
    checksum: Option<[u8; 20]>,
}

/// What becomes of a file that is already there.
enum Verdict {
    Keep,
    Replace(Option<Owner>),
}

impl<'p> Installer<'p> {
    pub(super) fn new(root: Root, packages: &'p [Package]) -> Self {
        Self { root, packages, lists: vec![Vec::new(); packages.len()], owners: HashMap::new() }
    }

    /// The root, and the files of each package.
    pub(super) fn finish(self) -> (Root, Vec<Vec<Listed>>) {
        let lists = self.lists.into_iter().map(|list| list.into_iter().flatten().collect()).collect();
        (self.root, lists)
    }

    /// Installs the package of this place in the list; its data are the source of the same place.
    pub(super) fn install(&mut self, package: usize) -> Result<(), Fault> {
        let packages = self.packages;
        let entries = packages.get(package).map(|one| one.entries.as_slice()).unwrap_or_default();
        // Control files before the data, in packages of old.
        let is_control = |entry: &&Entry| entry.path.starts_with(b".") && !entry.path.contains(&b'/');
        for entry in entries.iter().skip_while(is_control) {
            match entry.kind {
                EntryType::Directory => self.directory(package, entry)?,
                EntryType::File => {
                    let content = Content::Extent { source: package, offset: entry.offset, size: entry.size };
                    self.file(package, entry, Kind::File(content))?;
                }
                EntryType::Symlink => self.file(package, entry, Kind::Symlink(target(entry)?))?,
                EntryType::HardLink => self.hard_link(package, entry)?,
                EntryType::Other(kind) => {
                    return Err(format!(
                        "{}: it is a device, pipe or something else (type {:?}), which no package may have",
                        shown(&entry.path),
                        char::from(kind)
                    ));
                }
            }
        }
        Ok(())
    }

    fn directory(&mut self, package: usize, entry: &Entry) -> Result<(), Fault> {
        let path = parts(&entry.path)?.join(&b'/');
        if path.is_empty() {
            return Ok(());
        }
        match self.root.find(&path, true)? {
            Found::Node(node) if self.root.tree.entries(node).is_some() => {}
            Found::Node(_) => {
                return Err(format!("{}: a package before has a file of this name", shown(&path)));
            }
            Found::Missing => {
                let (above, name) = self.place(&path)?;
                if self.root.child(above, &name).is_some() {
                    return Err(format!("{}: it is a symbolic link that leads to nothing", shown(&path)));
                }
                let node = self.root.tree.add(node(entry, Kind::Directory(Default::default()))?);
                self.root.link(above, name, node);
            }
        }
        self.list(package, path, true, entry, None);
        Ok(())
    }

    fn file(&mut self, package: usize, entry: &Entry, kind: Kind) -> Result<(), Fault> {
        let path = parts(&entry.path)?.join(&b'/');
        let sum = checksum(entry).map_err(|error| error.to_string())?;
        let node = node(entry, kind)?;
        let (above, name) = self.place(&path)?;
        let Verdict::Replace(loser) = self.verdict(package, &path, above, &name, sum)? else { return Ok(()) };
        let node = self.root.tree.add(node);
        self.put(package, entry, path, above, name, node, sum, loser);
        Ok(())
    }

    fn hard_link(&mut self, package: usize, entry: &Entry) -> Result<(), Fault> {
        let path = parts(&entry.path)?.join(&b'/');
        let target = parts(&entry.target)?.join(&b'/');
        let missing =
            || format!("{}: it is a hard link to {}, which is not there", shown(&path), shown(&target));
        let Some((above, name)) = self.root.parent(&target)? else { return Err(missing()) };
        let node = self.root.child(above, &name).ok_or_else(missing)?;
        if self.root.tree.entries(node).is_some() {
            return Err(format!("{}: it is a hard link to a directory", shown(&path)));
        }
        let sum = self.owners.get(&(above, name)).and_then(|owner| owner.checksum);
        let (above, name) = self.place(&path)?;
        if self.root.child(above, &name) == Some(node) {
            return Ok(());
        }
        let Verdict::Replace(loser) = self.verdict(package, &path, above, &name, sum)? else { return Ok(()) };
        self.put(package, entry, path, above, name, node, sum, loser);
        Ok(())
    }

    /// The directory that the entry is made in.
    fn place(&self, path: &[u8]) -> Result<(NodeId, Vec<u8>), Fault> {
        let place = self.root.parent(path)?;
        place.ok_or_else(|| {
            format!("{}: neither the package nor one before it has its directory", shown(path))
        })
    }

    fn verdict(
        &self,
        package: usize,
        path: &[u8],
        above: NodeId,
        name: &[u8],
        sum: Option<[u8; 20]>,
    ) -> Result<Verdict, Fault> {
        let Some(there) = self.root.child(above, name) else { return Ok(Verdict::Replace(None)) };
        if self.root.tree.entries(there).is_some() {
            return Err(format!("{}: a package before has a directory of this name", shown(path)));
        }
        let Some(owner) = self.owners.get(&(above, name.to_vec())).copied() else {
            return Ok(Verdict::Replace(None));
        };
        let (Some(old), Some(new)) = (self.packages.get(owner.package), self.packages.get(package)) else {
            return Ok(Verdict::Replace(None));
        };
        let (old, new) = (&old.control.info, &new.control.info);
        if sum.is_some() && sum == owner.checksum {
            return Ok(Verdict::Keep);
        }
        if owner.package == package {
            return Ok(Verdict::Replace(Some(owner)));
        }
        if old.replaces.contains(&new.name) {
            return Ok(Verdict::Keep);
        }
        if new.replaces.contains(&old.name) || new.origin == old.origin {
            return Ok(Verdict::Replace(Some(owner)));
        }
        Err(format!(
            "{}: {} and {} have this file, each with another content",
            shown(path),
            old.name,
            new.name
        ))
    }

    #[expect(clippy::too_many_arguments, reason = "it ends two functions that differ in the node")]
    fn put(
        &mut self,
        package: usize,
        entry: &Entry,
        path: Vec<u8>,
        above: NodeId,
        name: Vec<u8>,
        node: NodeId,
        sum: Option<[u8; 20]>,
        loser: Option<Owner>,
    ) {
        if let Some(Owner { package, at, .. }) = loser
            && let Some(listed) = self.lists.get_mut(package).and_then(|list| list.get_mut(at))
        {
            *listed = None;
        }
        self.root.link(above, name.clone(), node);
        let at = self.list(package, path, false, entry, sum);
        self.owners.insert((above, name), Owner { package, at, checksum: sum });
    }

    fn list(
        &mut self,
        package: usize,
        path: Vec<u8>,
        directory: bool,
        entry: &Entry,
        checksum: Option<[u8; 20]>,
    ) -> usize {
        let Entry { mode, uid, gid, .. } = *entry;
        let Some(list) = self.lists.get_mut(package) else { return 0 };
        list.push(Some(Listed { path, directory, mode, uid, gid, checksum }));
        list.len() - 1
    }
}

/// The target of a symbolic link, if Linux can have it.
fn target(entry: &Entry) -> Result<Vec<u8>, Fault> {
    match entry.target.is_empty() || entry.target.contains(&0) {
        true => {
            Err(format!("{}: it is a symbolic link to nothing, or to a name with a NUL", shown(&entry.path)))
        }
        false => Ok(entry.target.clone()),
    }
}

/// A node with an entry's owner, mode, time and extended attributes.
fn node(entry: &Entry, kind: Kind) -> Result<Node, Fault> {
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
