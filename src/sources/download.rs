//! One file into the cache: the output of `curl` is hashed on its way to disk. A download continues where an earlier one
//! ended; the file gets its name when its hashes are right.
//!
//! curl honours proxies (`HTTPS_PROXY`, `NO_PROXY`) and the system's certificates (`SSL_CERT_FILE`) as other programs of the
//! host do, and needs no TLS stack in kiln.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use data_encoding::HEXLOWER;
use nix::libc;
use sha2::{Digest, Sha256, Sha512};
use tokio::io::AsyncReadExt;

use super::{
    Algorithm,
    checked::RemoteFile,
    inherited,
    limit::{Budget, OverLimit},
    part::Part,
    url::CURL_PROTOCOLS,
};
use crate::{
    cache::Lease,
    process::{Command, ExitStatus, Spawner, Stdio},
};

/// How often to try: each try continues where the one before ended.
const TRIES: u32 = 4;
/// Before the second try; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are read from curl at once.
const PIECE: usize = 256 * 1024;
/// The time between two reports of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Seconds: for a connection, and without a single byte.
pub(super) const PATIENCE: &str = "30";
/// curl's exit status: the server cannot send a part of a file.
const NO_RANGES: i32 = 33;
/// curl's exit status: the server refused (with `--fail`). For a part of a file, the file may have no more bytes.
const REFUSED: i32 = 22;

/// How a file came into the cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The right file was in the cache.
    Present,
    /// So many bytes were fetched.
    Fetched(u64),
}

/// The hashes of bytes as they arrive.
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

    /// Adds the bytes of `file` from its position on.
    fn update_from(&mut self, file: &mut File) -> Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(()),
                count => self.update(&piece[..count]),
            }
        }
    }

    fn check(self, file: &RemoteFile) -> Result<()> {
        let (sha256, sha512) =
            (HEXLOWER.encode(&self.sha256.finalize()), HEXLOWER.encode(&self.sha512.finalize()));
        for digest in file.digests() {
            let (found, expected) = match digest.algorithm {
                Algorithm::Sha256 => (&sha256, digest.hex()),
                Algorithm::Sha512 => (&sha512, digest.hex()),
            };
            ensure!(found == expected, "expected {} {expected}, found {found}", digest.algorithm.name());
        }
        Ok(())
    }
}

/// Fetches `file` unless the cache has it. `tell` takes reports of progress.
pub(super) async fn fetch(
    file: &RemoteFile,
    lease: &Lease,
    budget: &Budget,
    spawner: &Spawner,
    tell: &dyn Fn(String),
) -> Result<Done> {
    let name = file.digest.name();
    let kept = lease.directory().join(&name);
    if is_right(&kept, file)? {
        return Ok(Done::Present);
    }
    let mut part = Part::open(lease, &name, tell).await?;
    // The last holder of the lock may have fetched it meanwhile.
    if is_right(&kept, file)? {
        part.remove()?;
        return Ok(Done::Present);
    }
    let hashes = match part.complete(file, budget, spawner, tell).await {
        Ok(hashes) => hashes,
        Err(error) if is_of_size(&error) => {
            part.remove()?;
            return Err(error);
        }
        // The next run continues with the part that is there.
        Err(error) => return Err(error),
    };
    let bytes = hashes.bytes;
    if let Err(error) = hashes.check(file) {
        part.remove()?;
        return Err(error);
    }
    if part.keep_as(&name, lease)? > 0 {
        tell("the file in its place is replaced when no other process uses the cache".into());
    }
    Ok(Done::Fetched(bytes))
}

/// Whether there is no room for it, within the limit or on the disk.
fn is_of_size(error: &anyhow::Error) -> bool {
    let full = |error: &io::Error| {
        error.raw_os_error().is_some_and(|code| [libc::ENOSPC, libc::EDQUOT, libc::EFBIG].contains(&code))
    };
    error.is::<OverLimit>() || error.downcast_ref::<io::Error>().is_some_and(full)
}

/// Whether the cache has the right file; another one will be replaced.
fn is_right(path: &Path, file: &RemoteFile) -> Result<bool> {
    let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let mut kept = match opened {
        // No file, a link, a socket.
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

impl Part {
    /// Fetches the missing bytes.
    async fn complete(
        &mut self,
        file: &RemoteFile,
        budget: &Budget,
        spawner: &Spawner,
        tell: &dyn Fn(String),
    ) -> Result<Hashes> {
        if self.file.metadata()?.len() > budget.each() {
            // The limit was lowered, or a guest made the file longer.
            self.file.set_len(0)?;
        }
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            let mut hashes = Hashes::default();
            self.file.seek(SeekFrom::Start(0))?;
            hashes.update_from(&mut self.file).with_context(|| format!("read {}", self.path.display()))?;
            let start = hashes.bytes;
            match self.go_on(file.url.as_str(), &mut hashes, budget, spawner, tell).await? {
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

    /// One try: how curl ended, and its message.
    async fn go_on(
        &mut self,
        uri: &str,
        hashes: &mut Hashes,
        budget: &Budget,
        spawner: &Spawner,
        tell: &dyn Fn(String),
    ) -> Result<(ExitStatus, String)> {
        let mut child = spawner.spawn(curl(uri, hashes.bytes))?;
        let mut stdout = child.take_stdout().expect("stdout was piped above");
        let mut stderr = child.take_stderr().expect("stderr was piped above");
        let (mut piece, mut told) = (vec![0; PIECE], Instant::now());
        loop {
            let count = stdout.read(&mut piece).await.context("read from curl")?;
            if count == 0 {
                break;
            }
            hashes.update(&piece[..count]);
            budget.spend(count as u64, hashes.bytes)?;
            self.file.write_all(&piece[..count]).with_context(|| format!("write {}", self.path.display()))?;
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                tell(format!("{} MiB", hashes.bytes >> 20));
            }
        }
        let mut words = String::new();
        // best effort: a message that is not text is of no use.
        drop((&mut stderr).take(4096).read_to_string(&mut words).await);
        let status = child.wait().await?;
        Ok((status, words.trim().trim_start_matches("curl: ").to_owned()))
    }
}

/// The command that writes a file to its stdout, from byte `start` on. It reads no configuration (`--disable`, which must be
/// first), and redirects are restricted to the same protocols as the address.
fn curl(url: &str, start: u64) -> Command {
    let mut command = Command::new("curl").clear_env().envs(inherited::variables());
    command = command.args(["--disable", "--fail", "--location", "--globoff", "--silent", "--show-error"]);
    command =
        command.args(["--proto", CURL_PROTOCOLS, "--proto-redir", CURL_PROTOCOLS, "--max-redirs", "20"]);
    command = command.args(["--connect-timeout", PATIENCE, "--speed-limit", "1", "--speed-time", PATIENCE]);
    if start > 0 {
        command = command.args(["--continue-at".to_owned(), start.to_string()]);
    }
    command.args(["--output", "-", "--url", url]).stdout(Stdio::Piped).stderr(Stdio::Piped)
}
