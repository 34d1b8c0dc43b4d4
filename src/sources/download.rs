//! One file into the cache: what `curl` writes is hashed on its way to disk, goes on where an earlier try ended, and gets its
//! name when it is proven.
//!
//! curl honours proxies (`HTTPS_PROXY`, `NO_PROXY`) and the system's certificates (`SSL_CERT_FILE`) as everything else on the
//! host does, and is there wherever sources are downloaded: no second TLS stack in kiln can say so.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, Flock, FlockArg, RenameFlags, renameat2},
    libc,
};
use sha2::{Digest, Sha256, Sha512};
use tokio::io::AsyncReadExt;

use super::{Algorithm, FileSource};
use crate::{
    cache::{self, Change, Lease},
    process::{Command, ExitStatus, Spawner, Stdio},
};

/// No source is larger; a server that never ends must not fill the disk.
const MOST_BYTES: u64 = 64 << 30;
/// How often to try: each try goes on where the one before ended.
const TRIES: u32 = 4;
/// Before the second try; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are taken from curl at once.
const PIECE: usize = 256 * 1024;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);
/// Seconds: for a connection, and without a single byte.
pub(super) const PATIENCE: &str = "30";
/// curl's exit status: the server cannot go on in the middle of a file.
const NO_RANGES: i32 = 33;
/// curl's exit status: the server refused (with `--fail`); in the middle of a file it may be that there is no more of it.
const REFUSED: i32 = 22;

/// What there is to do for a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was in the cache, and is the right one.
    Present,
    /// It was fetched: so many bytes.
    Fetched(u64),
}

/// The hashes of bytes as they come.
#[derive(Default)]
struct Hashes {
    sha256: Sha256,
    sha512: Sha512,
    bytes: u64,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.sha512.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Adds what `file` holds from its position on.
    fn update_from(&mut self, file: &mut File) -> Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(()),
                count => self.update(&piece[..count]),
            }
        }
    }

    fn check(self, file: &FileSource) -> Result<()> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (sha256, sha512) = (hex(&self.sha256.finalize()), hex(&self.sha512.finalize()));
        for (algorithm, expected) in &file.hashes {
            let found = match algorithm {
                Algorithm::Sha256 => &sha256,
                Algorithm::Sha512 => &sha512,
            };
            ensure!(found == expected, "expected {} {expected}, found {found}", algorithm.name());
        }
        Ok(())
    }
}

/// Sees to it that the cache has `file`; `tell` is told how far it is.
pub(super) async fn fetch(
    file: &FileSource,
    lease: &Lease,
    spawner: &Spawner,
    tell: &dyn Fn(String),
) -> Result<Done> {
    let Some((algorithm, hash)) = file.hashes.first() else {
        bail!("it has no expected hash, so that no cache can have it");
    };
    let name = format!("{}:{hash}", algorithm.name());
    let cache = lease.directory();
    let (kept, part) = (cache.join(&name), cache.join(format!(".fetch.{name}.part")));
    if is_right(&kept, file)? {
        return Ok(Done::Present);
    }
    let mut part = Part::open(part, tell).await?;
    // Whoever held the lock may have brought it meanwhile.
    if is_right(&kept, file)? {
        part.remove()?;
        return Ok(Done::Present);
    }
    let hashes = part.complete(file, spawner, tell).await?;
    let bytes = hashes.bytes;
    if let Err(error) = hashes.check(file) {
        part.remove()?;
        return Err(error);
    }
    if part.keep_as(&name, lease)? > 0 {
        tell("what lies in its place is replaced when nobody else uses the cache".into());
    }
    Ok(Done::Fetched(bytes))
}

/// Whether the cache has it; what is there and is another file will be replaced.
fn is_right(path: &Path, file: &FileSource) -> Result<bool> {
    let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let mut kept = match opened {
        // Nothing, a link, a socket.
        Err(error)
            if error.kind() == ErrorKind::NotFound
                || error.raw_os_error().is_some_and(|error| [libc::ELOOP, libc::ENXIO].contains(&error)) =>
        {
            return Ok(false);
        }
        opened => opened.with_context(|| format!("open {}", path.display()))?,
    };
    if !kept.metadata().with_context(|| format!("examine {}", path.display()))?.is_file() {
        return Ok(false);
    }
    let mut hashes = Hashes::default();
    hashes.update_from(&mut kept).with_context(|| format!("read {}", path.display()))?;
    Ok(hashes.check(file).is_ok())
}

/// A file that is not complete yet. The lock is the file's: it is free when its holder is gone, however it went.
struct Part {
    path: PathBuf,
    file: Flock<File>,
}

impl Part {
    async fn open(path: PathBuf, tell: &dyn Fn(String)) -> Result<Self> {
        let context = || format!("write {}", path.display());
        if fs::symlink_metadata(&path).is_ok_and(|there| !is_plain(&there)) {
            // A build made it: what would be written to it would go elsewhere.
            fs::remove_file(&path).with_context(context)?;
        }
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .mode(0o644)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(&path)
                .with_context(context)?;
            ensure!(is_plain(&file.metadata()?), "{} is changed by somebody else", path.display());
            let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((file, _)) => {
                    tell("another kiln fetches it: waiting".into());
                    let waited =
                        tokio::task::spawn_blocking(|| Flock::lock(file, FlockArg::LockExclusive)).await;
                    waited.context("wait for a lock")?.map_err(|(_, errno)| errno).with_context(context)?
                }
            };
            // Its holder may have given it its name: then this is not the file of that name any more.
            if fs::metadata(&path).is_ok_and(|there| same(&there, &file)) {
                return Ok(Self { path, file });
            }
        }
    }

    /// Fetches what is missing of it.
    async fn complete(
        &mut self,
        file: &FileSource,
        spawner: &Spawner,
        tell: &dyn Fn(String),
    ) -> Result<Hashes> {
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            let mut hashes = Hashes::default();
            self.file.seek(SeekFrom::Start(0))?;
            hashes.update_from(&mut self.file).with_context(|| format!("read {}", self.path.display()))?;
            let start = hashes.bytes;
            match self.go_on(&file.uri, &mut hashes, spawner, tell).await? {
                (ExitStatus::Code(0), _) => return Ok(hashes),
                (ExitStatus::Code(NO_RANGES | REFUSED), _) if start > 0 => self.file.set_len(0)?,
                (ExitStatus::Code(REFUSED), why) => bail!("{why}"),
                (status, why) if left == 0 => {
                    bail!("{}", if why.is_empty() { format!("curl ended with {status}") } else { why })
                }
                (_, why) => {
                    tell(format!("{why}; again in {} s", pause.as_secs()));
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        bail!("the server gives another file each time")
    }

    /// One try; the answer is how curl ended, and its last words.
    async fn go_on(
        &mut self,
        uri: &str,
        hashes: &mut Hashes,
        spawner: &Spawner,
        tell: &dyn Fn(String),
    ) -> Result<(ExitStatus, String)> {
        let start = hashes.bytes.to_string();
        let mut command =
            Command::new("curl").args(["--disable", "--fail", "--location", "--globoff", "--silent"]);
        command = command.args(["--show-error", "--proto", "=http,https,ftp", "--connect-timeout", PATIENCE]);
        command = command.args(["--speed-limit", "1", "--speed-time", PATIENCE]);
        if hashes.bytes > 0 {
            command = command.args(["--continue-at", &start]);
        }
        let command = command.args(["--output", "-", "--url", uri]).stdout(Stdio::Piped).stderr(Stdio::Piped);
        let mut child = spawner.spawn(command)?;
        let mut stdout = child.take_stdout().expect("stdout was piped above");
        let mut stderr = child.take_stderr().expect("stderr was piped above");
        let (mut piece, mut told) = (vec![0; PIECE], Instant::now());
        loop {
            let count = stdout.read(&mut piece).await.context("read from curl")?;
            if count == 0 {
                break;
            }
            hashes.update(&piece[..count]);
            ensure!(hashes.bytes <= MOST_BYTES, "it is larger than {MOST_BYTES} bytes");
            self.file.write_all(&piece[..count]).with_context(|| format!("write {}", self.path.display()))?;
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                tell(format!("{} MiB", hashes.bytes >> 20));
            }
        }
        let mut words = String::new();
        // Best effort: what is no text says nothing to a person either.
        drop((&mut stderr).take(4096).read_to_string(&mut words).await);
        let status = child.wait().await?;
        Ok((status, words.trim().trim_start_matches("curl: ").to_owned()))
    }

    /// Gives it its name, for good; says how much of that waits. Another build may be reading what has the name already.
    fn keep_as(self, name: &str, lease: &Lease) -> Result<u64> {
        let directory = lease.directory();
        let kept = directory.join(name);
        let Self { path, file } = self;
        let context = || format!("keep {}", kept.display());
        file.set_permissions(Permissions::from_mode(0o644)).with_context(context)?;
        file.sync_all().with_context(context)?;
        match renameat2(AT_FDCWD, &path, AT_FDCWD, &kept, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => {
                File::open(directory).and_then(|directory| directory.sync_all()).with_context(context)?;
                Ok(0)
            }
            // Or the file system cannot say whether something is there.
            Err(Errno::EEXIST | Errno::EINVAL) => {
                let changes = BTreeMap::from([(PathBuf::from(name), Change::File(path.clone()))]);
                let waiting = cache::bring(lease, &changes)?.waiting;
                fs::remove_file(&path).with_context(context)?;
                Ok(waiting)
            }
            Err(error) => Err(error).with_context(context),
        }
    }

    fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("remove {}", self.path.display()))
    }
}

/// Whether it is a file of no other name; another kiln may be taking this one.
fn is_plain(metadata: &fs::Metadata) -> bool {
    metadata.is_file() && metadata.nlink() <= 1
}

fn same(there: &fs::Metadata, file: &File) -> bool {
    file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
}
