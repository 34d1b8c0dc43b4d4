//! One repository into the cache: the script of `git-checkout` itself, run on the host in a directory that is thrown away.
//!
//! So the cache has the same packs as after a build, submodules and cherry-picks included. The script takes its inputs as
//! variables, so that no text of a build file becomes shell. git uses only the protocols of [`super::url`], also for
//! submodules, and of the user's configuration only the keys of [`super::git_settings`]. It never sees the cache, where a
//! guest may have written links or settings: its cache is a directory of kiln's own, with hard links to packs, from which a
//! commit takes new packs into the cache.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    checked::Checkout,
    download::PATIENCE,
    git_settings, inherited,
    limit::{Budget, OverLimit},
    presence,
    url::GIT_PROTOCOLS,
    usage,
};
use crate::{
    cache::{self, Change, Identity, Lease},
    process::{Command, RemovalAtEnd, Spawner, Stdio},
};

/// Kernel-sized histories take minutes on slow lines; nothing takes longer than this.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// The time between two reports of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// The most bytes of the script's output that are kept.
const MOST_SAID: usize = 64 << 10;
/// Messages of git and bash about a child that SIGXFSZ has ended, since it wrote a file beyond RLIMIT_FSIZE.
const FILE_TOO_LARGE: [&str; 2] = ["signal 25", "File size limit exceeded"];

/// A directory that is removed when it is dropped, or kiln is killed.
struct Scratch {
    directory: TempDir,
    at_end: RemovalAtEnd,
}

impl Scratch {
    fn new(below: &Path, spawner: &Spawner) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("kiln-git-").tempdir_in(below);
        let directory =
            directory.with_context(|| format!("make a scratch directory in {}", below.display()))?;
        let at_end = spawner.remove_at_end(directory.path());
        Ok(Self { directory, at_end })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn remove(self) -> Result<()> {
        let Self { directory, at_end } = self;
        let path = directory.path().to_owned();
        directory.close().with_context(|| format!("remove {}", path.display()))?;
        at_end.forget(&path);
        Ok(())
    }
}

/// The cache's packs of repositories, linked where no guest can write.
pub(super) struct Copies {
    scratch: Scratch,
    /// The packs that the cache has.
    known: RefCell<BTreeMap<PathBuf, Identity>>,
    /// The user's settings, as variables.
    settings: Vec<(OsString, OsString)>,
}

impl Copies {
    /// Made once for all repositories.
    pub(super) async fn of(lease: &Lease, spawner: &Spawner) -> Result<Self> {
        let scratch = Scratch::new(&near(lease)?, spawner)?;
        let settings = git_settings::of_user(scratch.path(), spawner).await;
        let known = RefCell::new(cache::link_git_packs(lease, scratch.path())?);
        Ok(Self { scratch, known, settings })
    }

    /// Takes new packs into the cache, and removes damaged ones; returns the number of replacements that wait.
    fn settle(&self, lease: &Lease, budget: &Budget) -> Result<u64> {
        let found = cache::linked_git_packs(self.scratch.path())?;
        let mut known = self.known.borrow_mut();
        let mut changes: BTreeMap<PathBuf, Change> = known
            .keys()
            .filter(|path| !found.contains_key(*path))
            .map(|path| (path.clone(), Change::Gone))
            .collect();
        let mut bytes = 0;
        for (path, identity) in &found {
            if known.get(path) != Some(identity) {
                let new = self.scratch.path().join(path);
                bytes += fs::metadata(&new).with_context(|| format!("look at {}", new.display()))?.len();
                changes.insert(path.clone(), Change::File(new));
            }
        }
        budget.spend(bytes, 0)?;
        let kept =
            if changes.is_empty() { cache::Kept::default() } else { cache::commit_files(lease, &changes)? };
        *known = found;
        Ok(kept.waiting)
    }

    /// Removes the new packs of a repository.
    fn forget(&self, url: &str) -> Result<()> {
        let (known, key) = (self.known.borrow(), presence::key(url));
        for (path, identity) in cache::linked_git_packs(self.scratch.path())? {
            if known.get(&path) != Some(&identity) && path.iter().any(|part| part == key.as_str()) {
                let new = self.scratch.path().join(path);
                fs::remove_file(&new).with_context(|| format!("remove {}", new.display()))?;
            }
        }
        Ok(())
    }

    /// Removes the directory.
    pub(super) fn remove(self) -> Result<()> {
        self.scratch.remove()
    }
}

/// A directory on the cache's file system, for hard links, if there is one.
fn near(lease: &Lease) -> Result<PathBuf> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    let cache = lease.directory();
    let wanted = device(cache).with_context(|| format!("look at {}", cache.display()))?;
    let own = lease.scratch()?;
    let found =
        [env::temp_dir(), own.clone()].into_iter().find(|path| device(path).is_ok_and(|it| it == wanted));
    Ok(found.unwrap_or(own))
}

/// Fetches a checkout into the cache and returns the output of the script. `tell` takes reports of progress.
pub(super) async fn fetch(
    git: &Checkout,
    lease: &Lease,
    copies: &Copies,
    budget: &Budget,
    spawner: &Spawner,
    tell: &dyn Fn(String),
) -> Result<Vec<String>> {
    let scratch = Scratch::new(&env::temp_dir(), spawner)?;
    let said =
        run(command(git, copies, scratch.path(), budget)?, scratch.path(), budget, spawner, tell).await;
    if said.as_ref().is_err_and(|error| error.is::<OverLimit>()) {
        copies.forget(git.url.as_str())?;
    }
    // New packs are kept also after a failure, whose reason goes before an error of keeping them.
    let settled = copies.settle(lease, budget);
    if settled.as_ref().is_err_and(|error| error.is::<OverLimit>()) {
        copies.forget(git.url.as_str())?;
    }
    let removed = scratch.remove();
    let (said, waiting) = (said?, settled?);
    removed?;
    if waiting > 0 {
        tell(format!("{waiting} replacements wait until no other process uses the cache"));
    }
    Ok(said)
}

/// The script in a directory of its own. RLIMIT_FSIZE ends it if a single file becomes longer than the limit.
fn command(git: &Checkout, copies: &Copies, scratch: &Path, budget: &Budget) -> Result<Command> {
    // The script writes safe.directory there.
    let settings = scratch.join("gitconfig");
    fs::write(&settings, "").with_context(|| format!("write {}", settings.display()))?;
    let kib = budget.each().div_ceil(1024);
    let script =
        format!("ulimit -S -c 0; ulimit -S -f {kib} 2>/dev/null || :\nset -eo pipefail\n{}", git.script);
    Ok(Command::new("bash")
        .args(["-c", &script])
        .current_dir(scratch)
        .clear_env()
        .envs(inherited::variables())
        .env("LC_ALL", "C.UTF-8")
        .envs(git.inputs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .env("input_destination", "tree")
        .env("kiln_cache", copies.scratch.path())
        .env("kiln_progress", "--progress")
        // A server that sends nothing is given up, as for files.
        .env("GIT_HTTP_LOW_SPEED_LIMIT", "1")
        .env("GIT_HTTP_LOW_SPEED_TIME", PATIENCE)
        .env("GIT_ALLOW_PROTOCOL", GIT_PROTOCOLS)
        // git must not find a repository of another user above it.
        .env("GIT_CEILING_DIRECTORIES", scratch.parent().unwrap_or(scratch))
        .env("GIT_CONFIG_GLOBAL", &settings)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .envs(copies.settings.iter().cloned()))
}

/// Runs it until it ends, takes too long, or has written too much into `scratch`.
async fn run(
    command: Command,
    scratch: &Path,
    budget: &Budget,
    spawner: &Spawner,
    tell: &dyn Fn(String),
) -> Result<Vec<String>> {
    let mut child = spawner.spawn(command.stdout(Stdio::Piped).stderr(Stdio::Piped))?;
    let stdout = child.take_stdout().expect("stdout was piped above");
    let stderr = child.take_stderr().expect("stderr was piped above");
    let all = async {
        let silent = |_: String| {};
        let (said, complained, status) =
            tokio::try_join!(lines(stdout, &silent), lines(stderr, tell), child.wait())?;
        if status.success() {
            return Ok(said);
        }
        if complained.iter().any(|line| FILE_TOO_LARGE.iter().any(|words| line.contains(words))) {
            bail!(OverLimit::Each(budget.each()));
        }
        let reasons: Vec<&str> =
            said.iter().rev().take(1).chain(complained.iter().rev().take(2)).map(String::as_str).collect();
        bail!("{}", reasons.join("; "))
    };
    let why = tokio::select! {
        ended = tokio::time::timeout(LIMIT, all) => match ended {
            // A quick run may end before the first interval.
            Ok(said) => return usage::check(scratch, budget).await.map_err(Into::into).and(said),
            Err(_) => anyhow!("git did not end within {} s", LIMIT.as_secs()),
        },
        over = usage::beyond(scratch, budget) => over.into(),
    };
    // It must not write while the directory is removed.
    child.kill();
    child.wait().await?;
    Err(why)
}

/// The last lines of the output. Lines that git overwrites are its progress, of which `tell` gets one now and then.
async fn lines(mut from: impl AsyncRead + Unpin, tell: &dyn Fn(String)) -> Result<Vec<String>> {
    let (mut text, mut piece, mut told) = (String::new(), vec![0; 4096], Instant::now());
    loop {
        let count = from.read(&mut piece).await.context("read the output of git")?;
        if count == 0 {
            break;
        }
        text += &String::from_utf8_lossy(&piece[..count]);
        if told.elapsed() >= PROGRESS
            && let Some(progress) = text.rsplit(['\r', '\n']).skip(1).find(|line| is_progress(line))
        {
            told = Instant::now();
            tell(progress.trim().to_owned());
        }
        if text.len() > 2 * MOST_SAID {
            let cut = (text.len() - MOST_SAID..).find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.drain(..cut);
        }
    }
    let whole = text.split(['\r', '\n']).filter(|line| !line.trim().is_empty() && !is_progress(line));
    Ok(whole.map(str::to_owned).collect())
}

/// `Receiving objects:  45% (450/1000), 1.2 MiB | 1.0 MiB/s`
fn is_progress(line: &str) -> bool {
    line.split_once('%').is_some_and(|(before, after)| {
        before.ends_with(|digit: char| digit.is_ascii_digit())
            && before.contains(": ")
            && after.starts_with(" (")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_distinguished_from_messages_of_git() {
        for line in [
            "Receiving objects:  45% (450/1000), 1.2 MiB | 1.0 MiB/s",
            "remote: Counting objects: 100% (3/3)",
        ] {
            assert!(is_progress(line), "{line}");
        }
        for line in ["fatal: 50% of it is missing", "remote: Total 3 (delta 0)", "100%"] {
            assert!(!is_progress(line), "{line}");
        }
    }
}
