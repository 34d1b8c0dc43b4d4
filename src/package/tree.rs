//! Decides whether an entry is safe: its name, its place in the tree so far, and the target of a link.
//!
//! Parents come first, and each name once. So no path passes through a link: the parent of an entry must be a directory that
//! the stream itself has made. Names are kept as 128 bits of a keyed hash, for which a guest cannot find collisions.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use super::entry::{Entry, Kind};

/// Linux's PATH_MAX and NAME_MAX, without the NUL.
const PATH_MAX: usize = 4095;
const NAME_MAX: usize = 255;

/// The names of one package so far.
#[derive(Default)]
pub(super) struct Tree {
    keys: (RandomState, RandomState),
    directories: HashSet<u128>,
    files: HashSet<u128>,
    /// Symbolic links and fifos.
    others: HashSet<u128>,
}

impl Tree {
    /// Adds an entry whose names are relative to the tree; an error is the reason of the refusal.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<(), String> {
        check_path(&entry.path)?;
        let key = self.key(&entry.path);
        if let Some(before) = self.find(key) {
            return Err(format!("it is in the stream twice (first as {before})"));
        }
        self.check_parent(&entry.path)?;
        match &entry.kind {
            Kind::Directory => self.directories.insert(key),
            Kind::File { .. } => self.files.insert(key),
            Kind::HardLink { target } => {
                check_path(target).map_err(|why| format!("the name that it links to: {why}"))?;
                if !self.files.contains(&self.key(target)) {
                    return Err(
                        "it is a hard link to a name that is not an earlier file of its package".into()
                    );
                }
                self.files.insert(key)
            }
            Kind::Symlink { target } => {
                check_target(target)?;
                self.others.insert(key)
            }
            Kind::Fifo => self.others.insert(key),
            Kind::Whiteout => return Err("it is a character device".into()),
        };
        Ok(())
    }

    fn check_parent(&self, path: &[u8]) -> Result<(), String> {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return Ok(()) };
        match self.find(self.key(&path[..slash])) {
            Some("a directory") => Ok(()),
            Some(other) => Err(format!("it passes through {other}")),
            None => Err("its directory is not before it".into()),
        }
    }

    fn find(&self, key: u128) -> Option<&'static str> {
        let Self { keys: _, directories, files, others } = self;
        [(directories, "a directory"), (files, "a file"), (others, "a symbolic link or fifo")]
            .into_iter()
            .find_map(|(set, what)| set.contains(&key).then_some(what))
    }

    fn key(&self, path: &[u8]) -> u128 {
        u128::from(self.keys.0.hash_one(path)) << 64 | u128::from(self.keys.1.hash_one(path))
    }
}

/// A name must be relative, plain and short enough for Linux; an error is the reason of the refusal.
pub(crate) fn check_path(path: &[u8]) -> Result<(), String> {
    if path.first() == Some(&b'/') {
        return Err("its name is absolute".into());
    }
    check_length(path)?;
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" => return Err("its name has an empty component".into()),
            b"." | b".." => return Err(format!("its name has a {:?}", String::from_utf8_lossy(component))),
            name if name.len() > NAME_MAX => {
                return Err(format!("a component of its name is longer than {NAME_MAX} bytes"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A symbolic link may have any target that Linux could hold.
pub(super) fn check_target(target: &[u8]) -> Result<(), String> {
    if target.is_empty() {
        return Err("it is a symbolic link to nothing".into());
    }
    check_length(target).map_err(|why| format!("the target of a symbolic link: {why}"))
}

fn check_length(name: &[u8]) -> Result<(), String> {
    if name.len() > PATH_MAX {
        return Err(format!("its name is longer than {PATH_MAX} bytes"));
    }
    if name.contains(&0) { Err("its name has a NUL".into()) } else { Ok(()) }
}
