//! The entries of packages into a root: which file wins, and what belongs to which package, by apko's rules.

use std::collections::{HashMap, HashSet};

use crate::{
    apk::tar::{Entry, EntryType},
    image::{
        erofs::{Content, Kind, Node, NodeId},
        tar_tree::node,
    },
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

/// The packages in a root.
#[derive(Debug)]
pub(super) struct Installer<'p> {
    pub(super) root: Root,
    packages: &'p [Package],
    /// By package, all its entries.
    lists: Vec<Vec<Listed>>,
    /// By path, the package whose regular file was installed last.
    files: HashMap<Vec<u8>, usize>,
    /// By directory and name, the package that the file or link belongs to.
    owners: HashMap<(NodeId, Vec<u8>), Owner>,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    package: usize,
    checksum: Option<[u8; 20]>,
}

/// What becomes of a file that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    Replace,
}

impl<'p> Installer<'p> {
    pub(super) fn new(root: Root, packages: &'p [Package]) -> Self {
        let lists = vec![Vec::new(); packages.len()];
        Self { root, packages, lists, files: HashMap::new(), owners: HashMap::new() }
    }

    /// The root, and the entries of each package that apk's database has, by apko's rules: not a file that another package has
    /// installed under the same path, and nothing below a directory that the package has no entry for.
    pub(super) fn finish(self) -> (Root, Vec<Vec<Listed>>) {
        let Self { root, packages: _, lists, files, owners: _ } = self;
        let of_package = |(package, mut list): (usize, Vec<Listed>)| {
            list.retain(|one| one.directory || files.get(&one.path).is_none_or(|owner| *owner == package));
            let own: HashSet<Vec<u8>> =
                list.iter().filter(|one| one.directory).map(|one| one.path.clone()).collect();
            list.retain(|one| {
                let mut above = one.path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
                above.all(|(at, _)| one.path.get(..at).is_some_and(|above| own.contains(above)))
            });
            list
        };
        (root, lists.into_iter().enumerate().map(of_package).collect())
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
                // Directories above it that have no entry get its mode, as in apko.
                let made = self.root.make_directories(&path, entry.mode & 0o777)?;
                let Node { mode, uid, gid, mtime, xattrs, .. } =
                    node(entry, Kind::Directory(Default::default()))?;
                if let Some(made) = self.root.tree.nodes.get_mut(made) {
                    (made.mode, made.uid, made.gid, made.mtime, made.xattrs) =
                        (mode, uid, gid, mtime, xattrs);
                }
            }
        }
        self.list(package, path, true, entry, None);
        Ok(())
    }

    fn file(&mut self, package: usize, entry: &Entry, kind: Kind) -> Result<(), Fault> {
        let path = parts(&entry.path)?.join(&b'/');
        let sum = checksum(entry).map_err(|error| error.to_string())?;
        let (above, name) = self.place(&path)?;
        let there = self.root.child(above, &name).and_then(|there| self.root.node(there));
        let is_same_link = matches!(kind, Kind::Symlink(_)) && there.is_some_and(|there| there.kind == kind);
        let node = node(entry, kind)?;
        let verdict = match is_same_link {
            true => Verdict::Keep,
            false => self.verdict(package, &path, above, &name, sum)?,
        };
        self.list(package, path.clone(), false, entry, sum);
        if verdict == Verdict::Replace {
            if matches!(node.kind, Kind::File(_)) {
                self.files.insert(path, package);
            }
            let node = self.root.tree.add(node);
            self.root.link(above, name.clone(), node);
            self.owners.insert((above, name), Owner { package, checksum: sum });
        }
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
        let Owner { package: owner, checksum: sum } =
            self.owners.get(&(above, name)).copied().unwrap_or(Owner { package, checksum: None });
        let (above, name) = self.place(&path)?;
        if self.root.child(above, &name).is_some() {
            return Err(format!("{}: it is a hard link, and there is a file of this name", shown(&path)));
        }
        self.root.link(above, name.clone(), node);
        self.owners.insert((above, name), Owner { package: owner, checksum: sum });
        let own = checksum(entry).map_err(|error| error.to_string())?;
        self.list(package, path, false, entry, own);
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
        let Some(there) = self.root.child(above, name) else { return Ok(Verdict::Replace) };
        if self.root.tree.entries(there).is_some() {
            return Err(format!("{}: a package before has a directory of this name", shown(path)));
        }
        let Some(owner) = self.owners.get(&(above, name.to_vec())).copied() else {
            return Ok(Verdict::Replace);
        };
        let (Some(old), Some(new)) = (self.packages.get(owner.package), self.packages.get(package)) else {
            return Ok(Verdict::Replace);
        };
        let (old, new) = (&old.control.info, &new.control.info);
        if sum.is_some() && sum == owner.checksum {
            return Ok(Verdict::Keep);
        }
        if owner.package == package {
            return Ok(Verdict::Replace);
        }
        if old.replaces.contains(&new.name) {
            return Ok(Verdict::Keep);
        }
        if new.replaces.contains(&old.name) || new.origin == old.origin {
            return Ok(Verdict::Replace);
        }
        Err(format!(
            "{}: {} and {} have this file, each with another content",
            shown(path),
            old.name,
            new.name
        ))
    }

    fn list(
        &mut self,
        package: usize,
        path: Vec<u8>,
        directory: bool,
        entry: &Entry,
        checksum: Option<[u8; 20]>,
    ) {
        let Entry { mode, uid, gid, .. } = *entry;
        if let Some(list) = self.lists.get_mut(package) {
            list.push(Listed { path, directory, mode, uid, gid, checksum });
        }
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
