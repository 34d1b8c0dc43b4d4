//! Jobs that a run has finished, so that the same command, started again after an interruption or a failure, does not repeat them.
//!
//! The file `jobs/KEY` of kiln's home has a line for each finished job. KEY is the digest of all that determines the jobs: the command
//! line, its directory, and the content of each build file. A complete run removes the file. A file that was damaged costs no more than
//! builds that are repeated.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use nix::libc;
use sha2::{Digest, Sha256};

use crate::exit::Failure;

/// The most bytes that are read: a line has a name of at most some hundred bytes.
const MOST_BYTES: u64 = 16 << 20;

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    finished: Vec<String>,
}

impl Journal {
    /// Opens the journal of the run that these parts determine, below a directory of kiln's home.
    ///
    /// # Errors
    /// A host failure when it cannot be read or written, or is no file.
    pub(crate) fn open(directory: &Path, parts: &[Vec<u8>]) -> Result<Self> {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let path = directory.join(HEXLOWER.encode(&hash.finalize()));
        let mut file = open(&path).map_err(|error| {
            Failure::host(
                format!("the journal of finished builds {} cannot be used: {error}", path.display()),
                "Remove it, or correct its rights and those of its directory.",
            )
        })?;
        let finished = read(&mut file).with_context(|| format!("read {}", path.display()))?;
        Ok(Self { path, file, finished })
    }

    /// Whether an earlier run has finished this job.
    pub(crate) fn has(&self, job: &str) -> bool {
        self.finished.iter().any(|finished| finished == job)
    }

    /// Forgets what an earlier run has finished.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn forget(&mut self) -> Result<()> {
        self.finished.clear();
        self.file.set_len(0).with_context(|| format!("write {}", self.path.display()))
    }

    /// Records a finished job; it is on the disk when the call returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn record(&mut self, job: &str) -> Result<()> {
        let line = format!("{job}\n");
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("write {}", self.path.display()))
    }

    /// Removes the journal: all jobs are finished.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(crate) fn complete(self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Opens the file without following a link, and without waiting for the other end of a pipe.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).append(true).create(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("it is not a regular file")),
    }
}

/// The complete lines of a journal. What a kill has left of a line at its end is removed, so that the next one begins with a line of its
/// own.
fn read(file: &mut File) -> std::io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if end < bytes.len() {
        file.set_len(end as u64)?;
    }
    bytes.truncate(end);
    // A line of other bytes is none of ours, and names no job.
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;
    use crate::exit::{Code, code_of};

    #[test]
    fn what_was_finished_is_known_to_the_same_run_and_to_no_other() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let parts = |text: &str| vec![b"build".to_vec(), text.as_bytes().to_vec()];
        let mut journal = Journal::open(directory.path(), &parts("a")).expect("opened");
        assert!(!journal.has("x"));
        journal.record("x").expect("written");
        drop(journal);
        assert!(!Journal::open(directory.path(), &parts("b")).expect("opened").has("x"));
        let mut journal = Journal::open(directory.path(), &parts("a")).expect("opened");
        assert!(journal.has("x"));
        // A kill in the middle of a line.
        journal.file.write_all(b"half").expect("written");
        let mut journal = Journal::open(directory.path(), &parts("a")).expect("opened");
        assert!(journal.has("x") && !journal.has("half"));
        // What follows is a line of its own, and other bytes are no job.
        journal.record("y").expect("written");
        journal.file.write_all(b"\xff\xfe\n").expect("written");
        let mut journal = Journal::open(directory.path(), &parts("a")).expect("opened");
        assert!(journal.has("x") && journal.has("y"));
        journal.forget().expect("written");
        assert!(!Journal::open(directory.path(), &parts("a")).expect("opened").has("x"));
        journal.complete().expect("removed");
        let left = fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(left, 1, "that of the other run");
    }

    #[test]
    fn what_is_no_file_is_a_failure_of_the_host_and_nothing_waits_for_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = Journal::open(directory.path(), &[]).expect("opened").path;
        let makes: [fn(&Path); 3] = [
            |path| mkfifo(path, Mode::S_IRWXU).expect("made"),
            |path| symlink("elsewhere", path).expect("made"),
            |path| fs::create_dir(path).expect("made"),
        ];
        fs::remove_file(&path).expect("removed");
        for make in makes {
            make(&path);
            let error = Journal::open(directory.path(), &[]).expect_err("refused");
            assert_eq!(code_of(&error), Code::Host, "{error:#}");
            let _ = fs::remove_file(&path);
        }
    }
}
