//! Keys of the store: the origin of an entry, as one SHA-256.
//!
//! The key of a tar is that of its bytes, the key of a directory that of each entry's `lstat` (reading all files would take
//! minutes at each start). A write to a file changes its ctime, which no program can set, so that a changed tree has another
//! key even if size and mtime are the same.

use std::{
    fmt,
    fs::{self, File},
    io::{Read, Seek},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::files::{Durability, write_atomically};

/// A SHA-256 in lower-case hexadecimal digits; the name of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Of some bytes.
    pub(super) fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self::from(Sha256::new_with_prefix(bytes))
    }

    /// As a name, if it is one.
    pub fn parse(name: &str) -> Option<Self> {
        let digits =
            name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        digits.then(|| Self(name.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Sha256> for Key {
    fn from(hash: Sha256) -> Self {
        Self(HEXLOWER.encode(&hash.finalize()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a file's bytes. `memos` is a directory that keeps, for each file seen, its identity and key, so that an
/// unchanged file of some gigabytes is read once.
pub(super) fn of_file(path: &Path, memos: &Path) -> Result<Key> {
    let context = || format!("read {}", path.display());
    // open(2) of a pipe waits for a writer.
    ensure!(fs::metadata(path).with_context(context)?.is_file(), "{} is not a regular file", path.display());
    let mut file = File::open(path).with_context(context)?;
    let metadata = file.metadata().with_context(context)?;
    let memo = memos.join(Key::of(identity(&metadata)).as_str());
    if let Some(key) = fs::read_to_string(&memo).ok().and_then(|text| Key::parse(&text)) {
        return Ok(key);
    }
    let key = of_reader(&mut file).with_context(context)?;
    if is_settled(&metadata) && identity(&file.metadata().with_context(context)?) == identity(&metadata) {
        write_atomically(&memo, key.as_str().as_bytes(), Durability::Content)?;
    }
    Ok(key)
}

/// The SHA-256 of all of a file, as text; where it is read does not matter.
pub(super) fn sha256(file: &File) -> Result<String> {
    let mut file = file.try_clone().context("duplicate a descriptor")?;
    file.rewind().context("read an image")?;
    Ok(of_reader(&mut file).context("read an image")?.0)
}

fn of_reader(reader: &mut impl Read) -> Result<Key> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Key::from(hash)),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// A file that was changed a moment ago may change again within the same tick of its file system's clock.
fn is_settled(metadata: &fs::Metadata) -> bool {
    const TICK: Duration = Duration::from_secs(2);
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(metadata.ctime().try_into().unwrap_or(0));
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > TICK)
}

fn identity(metadata: &fs::Metadata) -> String {
    let (device, inode, size) = (metadata.dev(), metadata.ino(), metadata.size());
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    format!("{device} {inode} {size} {modified:?} {changed:?}")
}

/// The key of a tree: of each entry its name, mode, owner, size, times, device number and link target, in order of the
/// names. The files below [`super::builder::EMPTY`] are not in the image, so not in the key.
pub(super) fn of_tree(root: &Path) -> Result<Key> {
    let mut hash = Sha256::new();
    let mut open = vec![(root.to_path_buf(), root.symlink_metadata().with_context(|| at(root))?)];
    while let Some((path, metadata)) = open.pop() {
        let name = path.strip_prefix(root).expect("every entry was found below the root");
        hash.update(name.as_os_str().as_bytes());
        hash.update([0]);
        if super::builder::EMPTY.iter().any(|empty| name == Path::new(empty)) {
            continue;
        }
        let (mode, uid, gid, device) = (metadata.mode(), metadata.uid(), metadata.gid(), metadata.rdev());
        hash.update(format!("{mode} {uid} {gid} {device} {}\n", identity(&metadata)));
        if metadata.is_symlink() {
            hash.update(fs::read_link(&path).with_context(|| at(&path))?.as_os_str().as_bytes());
            hash.update([0]);
        } else if metadata.is_dir() {
            open.extend(children(&path)?);
        }
    }
    Ok(Key::from(hash))
}

/// In an order that does not depend on the file system.
fn children(directory: &Path) -> Result<Vec<(std::path::PathBuf, fs::Metadata)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| at(directory))? {
        let path = entry.with_context(|| at(directory))?.path();
        let metadata = path.symlink_metadata().with_context(|| at(&path))?;
        children.push((path, metadata));
    }
    children.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(children)
}

fn at(path: &Path) -> String {
    format!("look at {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_files_key_is_its_sha256() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("f");
        fs::write(&file, "abc").expect("written");
        let key = of_file(&file, &directory.path().join("memos")).expect("readable");
        assert_eq!(key.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Key::parse(key.as_str()), Some(key));
        assert_eq!(Key::parse("../../etc"), None);
    }

    #[test]
    fn a_file_that_just_changed_is_not_remembered_an_old_one_is() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (file, memos) = (directory.path().join("f"), directory.path().join("memos"));
        fs::write(&file, "abc").expect("written");
        of_file(&file, &memos).expect("readable");
        assert!(!memos.exists());
        // Nothing that is older than this test can be made here; the program itself is.
        let program = std::env::current_exe().expect("a path");
        let key = of_file(&program, &memos).expect("readable");
        assert_eq!(of_file(&program, &memos).expect("remembered"), key);
    }

    #[test]
    fn every_change_of_a_tree_changes_its_key() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        fs::create_dir_all(root.join("usr/bin")).expect("made");
        fs::create_dir(root.join("tmp")).expect("made");
        fs::write(root.join("usr/bin/a"), "a").expect("written");
        let mut seen = vec![of_tree(root).expect("readable")];
        assert_eq!(of_tree(root).expect("readable"), seen[0]);
        let changes: [fn(&Path); 4] = [
            |root| fs::write(root.join("usr/bin/a"), "b").expect("written"),
            |root| symlink("a", root.join("usr/bin/b")).expect("made"),
            |root| {
                fs::set_permissions(root.join("usr/bin/a"), PermissionsExt::from_mode(0o700)).expect("set")
            },
            |root| fs::rename(root.join("usr/bin/a"), root.join("usr/bin/c")).expect("renamed"),
        ];
        for change in changes {
            change(root);
            let key = of_tree(root).expect("readable");
            assert!(!seen.contains(&key));
            seen.push(key);
        }
        fs::write(root.join("tmp/x"), "not in the image").expect("written");
        assert_eq!(&of_tree(root).expect("readable"), seen.last().expect("not empty"));
    }
}
