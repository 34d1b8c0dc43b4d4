//! Jobs that a run has finished, so that the same command, started again after an interruption or a failure, does not repeat them.
//!
//! The file `jobs/KEY` of kiln's home has a line for each finished job. KEY is the digest of all that determines the jobs: the command
//! line, its directory, and the content of each build file. A complete run removes the file.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

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
    /// When it cannot be read or written.
    pub(crate) fn open(directory: &Path, parts: &[Vec<u8>]) -> Result<Self> {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let path = directory.join(HEXLOWER.encode(&hash.finalize()));
        let finished = read(&path)?;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("write {}", path.display()))?;
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

/// The complete lines of a journal: a kill may have left half a line at its end.
fn read(path: &Path) -> Result<Vec<String>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => {
            // A file with other bytes is not ours: nothing of it counts.
            let _ = file.take(MOST_BYTES).read_to_string(&mut text);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    }
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(complete.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        journal.forget().expect("written");
        assert!(!Journal::open(directory.path(), &parts("a")).expect("opened").has("x"));
        journal.complete().expect("removed");
        let left = fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(left, 1, "that of the other run");
    }
}
