//! Commits files of the host, and links the packs of the cache for the host's git.
//!
//! Before it: [`crate::sources`], which downloads. It does not work in the cache itself, where a guest may have written links,
//! settings and hooks: packs are linked into a directory of kiln's own, and only if they are regular files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    commit::commit,
    dir::{BeneathDir, FileType, file_type},
    lease::Lease,
    txn::{
        commit::Kept,
        stage::{CommitLimit, Outcome, stage_from, stager::Origin},
    },
};
use crate::ecosystem::git_checkout::{DIRECTORY, PACKS, is_key, is_list, is_pack};
use crate::package::{Entry, Kind, Time, Writer};

/// The host downloads no more but by mistake.
const LIMIT: CommitLimit = CommitLimit { bytes: 1 << 44, entries: 1 << 22 };
/// A longer file is no list of refs: a million refs fit.
const LIST_BYTES: u64 = 128 << 20;
/// Content is copied in pieces of this size.
const PIECE: usize = 256 << 10;

/// The change of a path of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It gets the content of this file of the host.
    File(PathBuf),
    /// It is removed.
    Gone,
}

/// The identity of a file: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(u64, u64);

/// Commits the changes: new names at once, replacements and removals when there is no other lease.
///
/// # Errors
/// A cache failure (7); the cache has none of the changes then.
pub fn commit_files(lease: &Lease, changes: &BTreeMap<PathBuf, Change>) -> Result<Kept> {
    let (reader, writer) = io::pipe().context("make a pipe")?;
    let (outcome, written) = std::thread::scope(|scope| {
        let written = scope.spawn(|| archive(changes, writer));
        // This closes the pipe, so that the other end stops as well.
        let outcome = stage_from(lease, reader, LIMIT, Origin::Upper);
        (outcome, written.join().unwrap_or_else(|_| bail!("the thread that reads what is new panicked")))
    });
    let pipe = |error: &anyhow::Error| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if let Err(error) = written
        && !pipe(&error)
    {
        return Err(error);
    }
    let kept = match outcome? {
        Outcome::Unchanged(left_out) => Kept { left_out, ..Kept::default() },
        Outcome::TooMuch(why) => bail!("{why}"),
        Outcome::Staged(staged) => commit(lease, *staged, lease.lock_commits()?)?,
    };
    match kept.left_out.words() {
        // A guest that writes to the cache has changed the staged entries.
        Some(words) => bail!("the cache takes no {words}"),
        None => Ok(kept),
    }
}

fn archive(changes: &BTreeMap<PathBuf, Change>, out: impl Write) -> Result<()> {
    let mut writer = Writer::new(out);
    let mut made = BTreeSet::new();
    for (path, change) in changes {
        let mut above: Vec<&Path> =
            path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
        above.reverse();
        for directory in above {
            if made.insert(directory) {
                writer.entry(&entry(directory, Kind::Directory, 0o755, Time::default()))?;
            }
        }
        match change {
            Change::Gone => writer.entry(&entry(path, Kind::Whiteout, 0, Time::default()))?,
            Change::File(source) => {
                file(&mut writer, path, source).with_context(|| format!("read {}", source.display()))?;
            }
        }
    }
    writer.finish()?;
    Ok(())
}

fn file(writer: &mut Writer<impl Write>, path: &Path, source: &Path) -> Result<()> {
    let mut file = File::open(source)?;
    let metadata = file.metadata()?;
    let nanos = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    let time = Time { seconds: metadata.mtime(), nanos };
    writer.entry(&entry(path, Kind::File { size: metadata.len() }, 0o644, time))?;
    let mut left = metadata.len();
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let count = file.read(&mut piece[..PIECE.min(usize::try_from(left).unwrap_or(PIECE))])?;
        ensure!(count > 0, "it became shorter");
        writer.content(&piece[..count])?;
        left -= count as u64;
    }
    Ok(())
}

fn entry(path: &Path, kind: Kind, mode: u32, mtime: Time) -> Entry {
    let path = path.as_os_str().as_bytes().to_vec();
    let (uname, gname) = (Vec::new(), Vec::new());
    Entry { path, kind, mode, uid: 0, gid: 0, uname, gname, mtime, xattrs: Vec::new() }
}

/// Links git's packs and lists below `into`, or copies them if it is on another file system. Returns the linked files by their
/// path in the cache. Other files are left out.
pub fn link_git_packs(lease: &Lease, into: &Path) -> Result<BTreeMap<PathBuf, Identity>> {
    let context = || format!("link git's packs of {}", lease.directory.display());
    let Some(all) = lease.root.dir(DIRECTORY.as_bytes()).with_context(context)? else {
        return Ok(BTreeMap::new());
    };
    for key in all.names().with_context(context)? {
        let Ok(key) = String::from_utf8(key) else { continue };
        if is_key(&key) {
            repository(&all, &key, &into.join(DIRECTORY).join(&key)).with_context(context)?;
        }
    }
    linked_git_packs(into)
}

fn repository(all: &BeneathDir, key: &str, into: &Path) -> Result<()> {
    let Some(store) = all.dir(key.as_bytes())? else { return Ok(()) };
    fs::create_dir_all(into.join(PACKS))?;
    for name in store.names()?.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
        if is_list(name)
            && let Some(list) = store.file(name.as_bytes())?
        {
            io::copy(&mut list.take(LIST_BYTES), &mut File::create_new(into.join(name))?)?;
        }
    }
    let Some(packs) = store.dir(PACKS.as_bytes())? else { return Ok(()) };
    let to = BeneathDir::open(&into.join(PACKS))?;
    for name in packs.names()?.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
        if is_pack(name) {
            link(&packs, &to, name)?;
        }
    }
    Ok(())
}

fn link(from: &BeneathDir, to: &BeneathDir, name: &str) -> io::Result<()> {
    let name = name.as_bytes();
    if to.link(from, name, name).is_ok() {
        // It is checked under the new name, where a guest cannot replace it.
        if !to.stat(name)?.is_some_and(|stat| file_type(&stat) == FileType::File) {
            to.unlink(name)?;
        }
    } else if let Some(mut file) = from.file(name)? {
        // Another file system, or another user's file.
        io::copy(&mut file, &mut to.create(name)?)?;
    }
    Ok(())
}

/// Git's packs and lists below a directory of kiln's own that has the layout of a cache.
pub fn linked_git_packs(below: &Path) -> Result<BTreeMap<PathBuf, Identity>> {
    let mut found = BTreeMap::new();
    let repositories = below.join(DIRECTORY);
    for key in names(&repositories)? {
        // A list is written after its packs: the packs of a list that is found are complete.
        for (directory, is_wanted) in [("", is_list as fn(&str) -> bool), (PACKS, is_pack)] {
            let directory = Path::new(DIRECTORY).join(&key).join(directory);
            for name in names(&below.join(&directory))?.into_iter().filter(|name| is_wanted(name)) {
                let path = directory.join(name);
                match fs::symlink_metadata(below.join(&path)) {
                    Ok(metadata) if metadata.is_file() => {
                        found.insert(path, Identity(metadata.dev(), metadata.ino()));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        return Err(error).with_context(|| format!("look at {}", path.display()));
                    }
                }
            }
        }
    }
    Ok(found)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listing => {
            let names = listing.with_context(|| format!("list {}", directory.display()))?;
            Ok(names.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        }
    }
}
