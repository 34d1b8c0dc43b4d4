//! The work that is timed: commits as builds make them, and the same files written without kiln.

use std::{
    fs::{self, File},
    io::{BufWriter, PipeWriter, Read, Write, pipe},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::unistd::syncfs;
use tar::{Builder, EntryType, Header};

use super::content::{Content, FilledCache};
use crate::cache::{CommitLimit, LockMode, Outcome, Request, commit, finish, stage, try_acquire};

/// How many files a small commit adds, and how large each of those is.
const NEW: usize = 10;
const NEW_BYTES: usize = 10_000;

/// Ten new files by a commit.
pub(super) fn commit_new(cache: &FilledCache, round: u32) -> Result<f64> {
    let stream = ten(round)?;
    seconds(|| commit_stream(cache, &stream[..]))
}

/// Ten new files in a directory of their own, and a flush of their file system, which a commit has as well.
pub(super) fn write_new(content: &Content, round: u32) -> Result<f64> {
    let directory = content.root.join(format!("plain/{round}"));
    fs::create_dir_all(&directory).context("make a directory")?;
    seconds(|| {
        for file in 0..NEW {
            fs::write(directory.join(file.to_string()), [b'x'; NEW_BYTES]).context("write a file")?;
        }
        sync(&directory)
    })
}

/// The whole source by a commit to an empty cache.
pub(super) fn commit_many(content: &Content) -> Result<f64> {
    let root = content.root.join("merged");
    let cache = FilledCache::empty(&root)?;
    let took = seconds(|| merge(&cache, &content.source))?;
    removed(&root, content)?;
    Ok(took)
}

/// Removes a tree, and flushes: the next sample starts with nothing to be written.
pub(super) fn removed(path: &Path, content: &Content) -> Result<()> {
    fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    sync(&content.root)
}

/// From the lease of a build to its end, with what `stream` writes in between.
fn commit_stream(cache: &FilledCache, stream: impl Read) -> Result<()> {
    let request = Request {
        directory: cache.directory.clone(),
        lock_mode: LockMode::Shared,
        who: "a benchmark".into(),
        limit: Duration::ZERO,
    };
    let lease = try_acquire(&cache.home, &request)?.context("another process holds the cache")?;
    match stage(&lease, stream, CommitLimit::default())? {
        Outcome::Staged(staged) => drop(commit(&lease, *staged, lease.lock_commits()?)?),
        Outcome::Unchanged(_) => bail!("there is nothing to commit: the cache has all of it"),
        Outcome::TooMuch(why) => bail!("there is too much to commit: {why}"),
    }
    finish(&lease)
}

/// The stream of ten new files.
fn ten(round: u32) -> Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let mut add = |path: String, content: &[u8], kind: EntryType| {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content)
    };
    add("pip".into(), b"", EntryType::Directory)?;
    add("pip/0".into(), b"", EntryType::Directory)?;
    for file in 0..NEW {
        add(format!("pip/0/new-{round}-{file}"), &[b'x'; NEW_BYTES], EntryType::Regular)?;
    }
    builder.into_inner().context("write an archive to memory")
}

/// The agent's part, too: it reads the files and writes the stream.
fn merge(cache: &FilledCache, source: &Path) -> Result<()> {
    let (reader, writer) = pipe().context("make a pipe")?;
    thread::scope(|scope| {
        let agent = scope.spawn(|| archive(source, writer));
        let committed = commit_stream(cache, reader);
        let archived = agent.join();
        committed?;
        match archived {
            Ok(archived) => archived,
            Err(_) => bail!("the thread that writes the stream has panicked"),
        }
    })
}

fn archive(source: &Path, writer: PipeWriter) -> Result<()> {
    let mut builder = Builder::new(BufWriter::with_capacity(256 << 10, writer));
    builder.append_dir_all("uv", source.join("uv")).context("write the stream")?;
    builder.into_inner().and_then(|mut writer| writer.flush()).context("write the stream")
}

/// Flushes the file system that a path lies on.
fn sync(path: &Path) -> Result<()> {
    let directory = File::open(path).with_context(|| format!("open {}", path.display()))?;
    syncfs(directory).with_context(|| format!("flush the file system of {}", path.display()))
}

/// How long a piece of work takes, in seconds.
fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cache::content::Sizes;

    const SMALL: Sizes = Sizes { caches: &[100], many: 3 };

    #[test]
    fn commits_add_the_files_of_each_round_and_a_merge_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let content = Content::fill(directory.path(), SMALL).unwrap();
        let cache = &content.caches[0];
        for round in 0..2 {
            assert!(commit_new(cache, round).unwrap() > 0.0);
            assert!(write_new(&content, round).unwrap() > 0.0);
        }
        for (path, count) in [("pip/0/0", 100), ("pip/0", 1 + 2 * NEW)] {
            assert_eq!(fs::read_dir(cache.directory.join(path)).unwrap().count(), count, "{path}");
        }
        assert_eq!(fs::metadata(cache.directory.join("pip/0/new-1-9")).unwrap().len(), NEW_BYTES as u64);
        assert_eq!(fs::read_dir(content.root.join("plain/1")).unwrap().count(), NEW);
        // The same files again are nothing new.
        assert!(commit_new(cache, 1).unwrap_err().to_string().starts_with("there is nothing to commit"));
        assert!(commit_many(&content).unwrap() > 0.0);
        assert!(!content.root.join("merged").exists());
    }
}
