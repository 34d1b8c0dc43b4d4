//! Builds that write straight into a cache (mode `rw`): for each a file in kiln's home, locked for as long as the build lives.
//!
//! It says what the cache was when the build began, so that [`super::txn::scrub`] knows what may be of the build. A build that
//! ends in order scrubs and removes its file. A file without a lock was left by a build that was killed: the next lease
//! scrubs for it.

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

/// In the directory of a cache's leases, the files.
pub(super) const WRITERS: &str = "writers";
/// A file is longer only if it is none of kiln's.
const MOST_BYTES: u64 = 4096;

impl Before {
    fn now(cache: &BeneathDir) -> Result<Self> {
        // The clock that counts is that of the file system, which may be a server's.
        let is_touched = cache.touch(b".").is_ok();
        let stat = cache.itself().context("look at the cache")?;
        let (seconds, _) = ctime::now()?;
        let since = if is_touched { (stat.st_ctime, stat.st_ctime_nsec) } else { (seconds - 1, 0) };
        Ok(Self { since, owner: (stat.st_uid, stat.st_gid), mode: permissions(&stat) })
    }

    /// From a file. A power cut may have left it without its content: then its own time counts.
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
        // A power cut may come at any time, and a build need not wait for the disk. Best effort, in a thread that ends by
        // itself: what is lost, `kiln cache verify` finds.
        thread::spawn(move || fs::File::open(path).and_then(|file| file.sync_all()));
        Ok(Self { lock, before })
    }

    /// The end of its writes: all processes of the build have ended. Whoever writes still keeps what needs owners of its own.
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

/// Scrubs for builds that were killed. Cheap when there are none.
pub(super) fn recover(cache: &OpenCache) -> Result<Scrubbed> {
    let others = Others::of(cache, None)?;
    let Some(before) = others.before else { return Ok(Scrubbed::default()) };
    cache.alone(|alone| {
        let scrubbed = scrub(cache, before, others.whose())?;
        if is_settled(&scrubbed) {
            // Whoever is not alone may share the cache with a daemon of theirs that still writes.
            others.remove_dead(alone)?;
        }
        Ok(scrubbed)
    })
}

/// Whether there is nothing that a later lease could do better. An ordinary user has said all that can be said: what is left
/// belongs to others (in docker to root, until a next build's agent gives it back).
fn is_settled(scrubbed: &Scrubbed) -> bool {
    scrubbed.is_complete() || !geteuid().is_root()
}

/// Those whose files are there besides one's own.
struct Others {
    living: usize,
    dead: Vec<PathBuf>,
    /// As the cache was before the first of the dead.
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

    /// In docker the cache belongs to the user of the steps until the build ends.
    fn whose(&self) -> Whose {
        if self.living == 0 { Whose::TheUsers } else { Whose::AsTheyAre }
    }

    fn remove_dead(&self, alone: bool) -> Result<()> {
        if alone { self.dead.iter().try_for_each(|path| remove(path)) } else { Ok(()) }
    }
}

/// Passes on what is left to do for a cache that has another key now, since its device has another number.
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
        // Another lease has done the same work.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
