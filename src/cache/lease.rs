//! A lease: the right to use a cache directory, and the proof of it that dies with its holder.
//!
//! Before it: the plan, which says how much the use excludes. After it: shares and runners, which give the descriptor to
//! the daemons that use the directory, and [`super::commit`]. Who holds a lease is written beside the lock for others to read.

use std::{
    fs,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

use super::{
    lock::{Got, LockFile, Strength},
    place::Place,
};
use crate::{
    event::{Event, Sink},
    exit::{Code, Failure},
    home::Home,
};

/// The directory of [`Home`] with one directory for each cache.
const LEASES: &str = "leases";

/// The directory of [`Home`] with the directories of those that came second, for each cache.
const PRIVATE: &str = "private";
/// More builds than that on one cache, each with a directory of its own, are a mistake.
const MOST_PRIVATE: usize = 256;

/// At most so much of a holder's own words is read.
const WORDS: u64 = 512;

/// Which directory: its device and inode, so that two names of it are one cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub String);

impl Key {
    pub(super) fn of(directory: &Path) -> Result<Self> {
        let metadata = fs::metadata(directory).with_context(|| format!("look at {}", directory.display()))?;
        Ok(Self(format!("{:x}-{:x}", metadata.dev(), metadata.ino())))
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The directory; it exists.
    pub directory: PathBuf,
    /// What it excludes.
    pub strength: Strength,
    /// Who asks, in words that others will read: `hello-1.0-r0, mode rw`.
    pub who: String,
    /// How long to wait.
    pub limit: Duration,
}

/// The right to use a cache directory until it is dropped.
#[derive(Debug)]
pub struct Lease {
    pub(super) directory: PathBuf,
    pub(super) key: Key,
    pub(super) home: Home,
    pub(super) place: Place,
    lock: LockFile,
    strength: Strength,
    record: Record,
    /// What was changed after this moment the holder may not have seen.
    pub(super) started: Stamp,
}

/// Seconds and nanoseconds of the host's clock, as in a file's times.
pub(super) type Stamp = (i64, i64);

impl Lease {
    /// Takes the lease, waiting for others if it must; says for whom it waits. What earlier commits left is finished first.
    ///
    /// # Errors
    /// A time-out (6) that names who has it.
    pub async fn acquire(home: &Home, request: Request, sink: &mut dyn Sink) -> Result<Self> {
        if let Some(lease) = Self::try_acquire(home, &request)? {
            return Ok(lease);
        }
        let desk = Desk::open(home, &request.directory)?;
        let limit = request.limit;
        let holders = desk.holders()?;
        let who =
            if holders.is_empty() { "a daemon of a build that has ended".into() } else { holders.join("; ") };
        sink.emit(Event::Note {
            text: format!(
                "waits, at most {limit:?}, for the cache {}, which is used by {who}",
                request.directory.display()
            ),
        });
        let strength = request.strength;
        // Abandoned at the limit: the thread, and the lock should it get one, go with the program.
        let waiting = tokio::task::spawn_blocking(move || desk.wait(strength));
        let Ok(waited) = tokio::time::timeout(limit, waiting).await else {
            return Err(timed_out(home, &request)?.into());
        };
        Self::with_lock(home, &request, waited.context("the wait for the cache panicked")??)
    }

    /// Takes the lease if that is possible at once.
    pub fn try_acquire(home: &Home, request: &Request) -> Result<Option<Self>> {
        let desk = Desk::open(home, &request.directory)?;
        desk.try_lock(request.strength)?.map(|lock| Self::with_lock(home, request, lock)).transpose()
    }

    fn with_lock(home: &Home, request: &Request, lock: LockFile) -> Result<Self> {
        let Request { directory, strength, who, limit: _ } = request;
        let place = Place::open(directory).with_context(|| format!("open {}", directory.display()))?;
        let desk = Desk::open(home, directory)?;
        fs::write(desk.directory.join("path"), directory.as_os_str().as_encoded_bytes())
            .with_context(|| format!("write below {}", desk.directory.display()))?;
        let record = Record::write(&desk.directory.join("holders"), who)?;
        let now = clock_gettime(ClockId::CLOCK_REALTIME).context("read the clock")?;
        let lease = Self {
            directory: directory.clone(),
            key: desk.key,
            home: home.clone(),
            place,
            lock,
            strength: *strength,
            record,
            started: (now.tv_sec(), now.tv_nsec()),
        };
        super::commit::recover(&lease)?;
        Ok(lease)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether it excludes all others.
    pub fn strength(&self) -> Strength {
        self.strength
    }

    /// The lease once more, for a daemon that uses the directory: it ends with the last of them.
    pub fn share(&self) -> Result<OwnedFd> {
        self.lock.share().context("copy the lease of the cache")
    }

    /// The end of the use: what waited for the last lease is merged, if this is it.
    pub fn finish(&self) -> Result<()> {
        super::commit::recover(self).map(drop)
    }

    /// The lock under which commits take turns.
    pub(super) fn commit_lock(&self) -> Result<LockFile> {
        let lock = LockFile::open(&self.home.dir(LEASES)?.join(&self.key.0).join("commit"))?;
        lock.lock(Strength::Exclusive)?;
        Ok(lock)
    }

    /// Does `work`, which is told whether nobody else has a lease, and keeps it so meanwhile.
    pub(super) fn alone<T>(&self, work: impl FnOnce(bool) -> Result<T>) -> Result<T> {
        let alone = self.lock.try_lock(Strength::Exclusive)? == Got::Yes;
        let result = work(alone);
        if alone && self.strength == Strength::Shared {
            self.lock.try_lock(Strength::Shared)?;
        }
        result
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // best effort: a record whose lock has gone is removed by whoever reads it next.
        let _ = fs::remove_file(self.record.0.path());
    }
}

/// Who holds a lease: a file with their words, locked for as long as they live.
#[derive(Debug)]
struct Record(LockFile);

impl Record {
    fn write(holders: &Path, who: &str) -> Result<Self> {
        fs::create_dir_all(holders).with_context(|| format!("make {}", holders.display()))?;
        let named =
            tempfile::Builder::new().prefix("holder-").tempfile_in(holders).context("note the lease")?;
        let (_, path) = named.keep().context("note the lease")?;
        let lock = LockFile::open(&path)?;
        lock.try_lock(Strength::Exclusive)?;
        write!(&mut lock.file(), "pid {} ({who})", std::process::id()).context("note the lease")?;
        Ok(Self(lock))
    }
}

/// Where the leases of one directory are handed out.
pub(super) struct Desk {
    key: Key,
    directory: PathBuf,
}

impl Desk {
    pub(super) fn open(home: &Home, cache: &Path) -> Result<Self> {
        let key = Key::of(cache)?;
        let directory = home.dir(LEASES)?.join(&key.0);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(Self { key, directory })
    }

    fn files(&self) -> Result<(LockFile, LockFile)> {
        Ok((LockFile::open(&self.directory.join("turn"))?, LockFile::open(&self.directory.join("lock"))?))
    }

    fn try_lock(&self, strength: Strength) -> Result<Option<LockFile>> {
        let (turn, lock) = self.files()?;
        // Who waits has the turn, and later ones must not get past them.
        if turn.try_lock(Strength::Exclusive)? == Got::No {
            return Ok(None);
        }
        Ok((lock.try_lock(strength)? == Got::Yes).then_some(lock))
    }

    /// First come, first served: a stream of shared holders cannot keep an exclusive one out for ever.
    fn wait(&self, strength: Strength) -> Result<LockFile> {
        let (turn, lock) = self.files()?;
        turn.lock(Strength::Exclusive)?;
        lock.lock(strength)?;
        turn.unlock()?;
        Ok(lock)
    }

    /// What the living holders say of themselves; the records of others are removed.
    pub(super) fn holders(&self) -> Result<Vec<String>> {
        let mut words = Vec::new();
        let Ok(listing) = fs::read_dir(self.directory.join("holders")) else { return Ok(words) };
        for entry in listing.flatten() {
            let lock = LockFile::open(&entry.path())?;
            let mut text = String::new();
            // A record that is just being made is empty, and its lock may not be held yet.
            if lock.file().take(WORDS).read_to_string(&mut text).is_err() || text.is_empty() {
                continue;
            }
            if lock.is_held()? {
                words.push(text);
            } else {
                // best effort: another reader may have removed it.
                let _ = fs::remove_file(entry.path());
            }
        }
        words.sort();
        Ok(words)
    }
}

/// The directory alone, or, where another has it, the first free one of those that kiln keeps for that case.
pub fn private(home: &Home, request: &Request) -> Result<Lease> {
    if let Some(lease) = Lease::try_acquire(home, request)? {
        return Ok(lease);
    }
    let own = home.dir(PRIVATE)?.join(Key::of(&request.directory)?.0);
    for number in 1..=MOST_PRIVATE {
        let directory = own.join(number.to_string());
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        if let Some(lease) = Lease::try_acquire(home, &Request { directory, ..request.clone() })? {
            return Ok(lease);
        }
    }
    let what = format!("{MOST_PRIVATE} builds use the cache {} at once", request.directory.display());
    Err(Failure::new(Code::Cache, what, "wait for one of them to end").into())
}

/// Directories that have ever been leased, with who holds them now; those that are gone are left out.
pub fn known(home: &Home) -> Result<Vec<(PathBuf, Vec<String>)>> {
    use std::os::unix::ffi::OsStringExt;
    let leases = home.dir(LEASES)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(&leases).with_context(|| format!("read {}", leases.display()))?.flatten() {
        let Ok(bytes) = fs::read(entry.path().join("path")) else { continue };
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
        // Another directory may have taken its name.
        if Key::of(&path).is_ok_and(|key| entry.file_name().to_string_lossy() == key.0) {
            let holders = Desk::open(home, &path)?.holders()?;
            found.push((path, holders));
        }
    }
    found.sort();
    Ok(found)
}

fn timed_out(home: &Home, request: &Request) -> Result<Failure> {
    let holders = Desk::open(home, &request.directory)?.holders()?.join("; ");
    Ok(Failure::new(
        Code::Timeout,
        format!(
            "the cache {} was not free within {:?}: it is used by {holders}",
            request.directory.display(),
            request.limit
        ),
        "wait for that build, raise --cache-wait, or use --cache-mode commit, which lets builds run at once",
    ))
}
