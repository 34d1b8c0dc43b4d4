//! Notes of builds that write straight into a cache (mode `rw`): for each a file in kiln's home, locked while the build lives.
//!
//! A note has the state of the cache when the build began, so that [`super::txn::scrub`] knows which entries may be the
//! build's. A build that ends in order scrubs the cache and removes its note. A note without a lock was left by a build that
//! was killed: the next lease scrubs for it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use super::{
    dir::{BeneathDir, ctime, lock::LockFile, permissions},
    lease_table::LeaseTable,
    txn::{
        open_cache::OpenCache,
        scrub::{Before, Scrubbed, Whose, scrub},
    },
};

/// The directory of the notes, in that of a cache's leases.
pub(super) const WRITERS: &str = "writers";
/// kiln writes no longer note.
const MOST_BYTES: u64 = 4096;

impl Before {
    fn now(cache: &BeneathDir) -> Result<Self> {
        // The clock of the file system, which may be a server's.
        let is_touched = cache.touch(b".").is_ok();
        let stat = cache.itself().context("look at the cache")?;
        let (seconds, _) = ctime::now()?;
        let since = if is_touched { (stat.st_ctime, stat.st_ctime_nsec) } else { (seconds - 1, 0) };
        Ok(Self { since, owner: (stat.st_uid, stat.st_gid), mode: permissions(&stat) })
    }

    /// From a note. A power cut may have left it empty: then its own time is used.
    fn read(path: &Path, cache: &BeneathDir) -> Result<Self> {
        let doing = || format!("read {}", path.display());
        let file = fs::File::open(path).with_context(doing)?;
        let made = file.metadata().with_context(doing)?;
        let mut content = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut content).with_context(doing)?;
        if let Ok(before) = serde_json::from_slice(&content) {
            return Ok(before);
        }
        let stat = cache.itself().context("look at the cache")?;
        let since = (made.ctime() - 1, 0);
        Ok(Self { since, owner: (stat.st_uid, stat.st_gid), mode: permissions(&stat) })
    }
}

/// A build that writes.
#[derive(Debug)]
pub(super) struct Writer {
    lock: LockFile,
    before: Before,
}

impl Writer {
    /// Notes that the holder of a lease begins to write.
    pub(super) fn begin(cache: &OpenCache) -> Result<Self> {
        let before = Before::now(&cache.root)?;
        let directory = directory(cache)?;
        let named = tempfile::Builder::new().prefix("writer-").tempfile_in(&directory);
        let path = named.and_then(|file| Ok(file.keep()?.1)).context("note that the cache is written")?;
        let lock = LockFile::hold(&path)?;
        let text = serde_json::to_vec(&before).context("note that the cache is written")?;
        lock.file().write_all(&text).context("note that the cache is written")?;
        // Flushed in a thread, since a build need not wait for the disk. best effort: if a power cut loses the note,
        // `kiln cache verify` finds the faults.
        thread::spawn(move || fs::File::open(path).and_then(|file| file.sync_all()));
        Ok(Self { lock, before })
    }

    /// Ends its writes: all processes of the build have ended. While other builds write, the owners stay as they are.
    pub(super) fn end(&self, cache: &OpenCache) -> Result<Scrubbed> {
        let others = Others::of(cache, Some(self.lock.path()))?;
        cache.alone(|alone| {
            let before = others.before.map_or(self.before, |other| earlier(self.before, other));
            let scrubbed = scrub(cache, before, others.whose())?;
            if others.living == 0 && is_settled(&scrubbed) {
                remove(self.lock.path())?;
                others.remove_dead(alone)?;
            }
            Ok(scrubbed)
        })
    }
}

/// Scrubs for builds that were killed; cheap if there are none.
pub(super) fn recover(cache: &OpenCache) -> Result<Scrubbed> {
    let others = Others::of(cache, None)?;
    let Some(before) = others.before else { return Ok(Scrubbed::default()) };
    cache.alone(|alone| {
        let scrubbed = scrub(cache, before, others.whose())?;
        if is_settled(&scrubbed) {
            // With another lease, a daemon of a killed build may still write.
            others.remove_dead(alone)?;
        }
        Ok(scrubbed)
    })
}

/// Whether a later lease could not correct more. A user other than root cannot correct the files of others (in docker those of
/// root, until the agent of a next build gives them back).
fn is_settled(scrubbed: &Scrubbed) -> bool {
    scrubbed.is_complete() || !geteuid().is_root()
}

/// The notes of other builds.
struct Others {
    living: usize,
    dead: Vec<PathBuf>,
    /// The cache before the first of the killed builds.
    before: Option<Before>,
}

impl Others {
    fn of(cache: &OpenCache, own: Option<&Path>) -> Result<Self> {
        let mut found = Self { living: 0, dead: Vec::new(), before: None };
        let directory = directory(cache)?;
        let listing = fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?;
        for entry in listing.flatten() {
            let path = entry.path();
            if Some(path.as_path()) == own {
                continue;
            }
            if LockFile::open(&path)?.is_held()? {
                found.living += 1;
                continue;
            }
            let before = Before::read(&path, &cache.root)?;
            found.before = Some(found.before.map_or(before, |other| earlier(before, other)));
            found.dead.push(path);
        }
        Ok(found)
    }

    /// In docker the cache belongs to the user of the steps while a build runs.
    fn whose(&self) -> Whose {
        if self.living == 0 { Whose::TheUsers } else { Whose::AsTheyAre }
    }

    fn remove_dead(&self, alone: bool) -> Result<()> {
        if alone { self.dead.iter().try_for_each(|path| remove(path)) } else { Ok(()) }
    }
}

/// Moves the notes of a cache that has another key now, since its device has another number.
pub(super) fn pass_on(old: &Path, cache: &Path, to: &LeaseTable) -> Result<()> {
    let Ok(listing) = fs::read_dir(old.join(WRITERS)) else { return Ok(()) };
    let directory = to.subdirectory(WRITERS)?;
    for entry in listing.flatten() {
        let target = directory.join(entry.file_name());
        fs::rename(entry.path(), &target)
            .with_context(|| format!("pass on what is left to do in {}", cache.display()))?;
    }
    Ok(())
}

fn directory(cache: &OpenCache) -> Result<PathBuf> {
    LeaseTable::named(&cache.home, &cache.key.0)?.subdirectory(WRITERS)
}

fn earlier(one: Before, other: Before) -> Before {
    if other.since < one.since { other } else { one }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        // Another lease has scrubbed the cache.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
