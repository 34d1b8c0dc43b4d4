//! Shared by the targets: archives with right checksums, and a cache for them.

use std::{fs, path::PathBuf, time::Duration};

use kiln::{
    cache::{CommitLimit, Lease, Outcome, Request, LockMode, commit},
    exit::{Code, code_of},
    home::Home,
};

const BLOCK: usize = 512;

/// Makes the checksums of a tar right, so that a mutation reaches what lies behind the first check.
pub fn repaired(stream: &[u8]) -> Vec<u8> {
    let mut stream = stream.to_vec();
    stream.resize(stream.len().next_multiple_of(BLOCK), 0);
    let mut at = 0;
    while let Some(block) = stream.get_mut(at..at + BLOCK) {
        if block.iter().all(|&byte| byte == 0) {
            break;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&block[124..135]).ok().and_then(|text| usize::from_str_radix(text.trim(), 8).ok());
        at += BLOCK + size.unwrap_or(0).min(1 << 20).next_multiple_of(BLOCK);
    }
    stream.extend([0; 2 * BLOCK]);
    stream
}

/// A directory with a cache, a home, and something that nothing may change.
pub struct Cache {
    directory: tempfile::TempDir,
    lease: Lease,
}

impl Default for Cache {
    fn default() -> Self {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let cache = directory.path().join("cache");
        fs::create_dir(&cache).expect("made");
        fs::write(directory.path().join("victim"), "untouched").expect("written");
        let request = Request { directory: cache, lock_mode: LockMode::Exclusive, who: "fuzz".into(), limit: Duration::ZERO };
        let home = Home::at(directory.path().join("home"));
        let lease = kiln::cache::try_acquire(&home, &request).expect("usable").expect("free");
        Self { directory, lease }
    }
}

impl Cache {
    /// Takes a stream as one of the ways into a cache does, and commits what was staged: all of it or, with an error of the
    /// cache, nothing; and nothing elsewhere.
    pub fn take(&self, stage: impl FnOnce(&Lease, CommitLimit) -> anyhow::Result<Outcome>) {
        let limit = CommitLimit { bytes: 1 << 20, entries: 200 };
        match stage(&self.lease, limit) {
            Ok(Outcome::Staged(staged)) => {
                let turn = self.lease.lock_commits().expect("no other process commits");
                commit(&self.lease, *staged, turn).expect("what was staged can be committed");
            }
            Ok(Outcome::Unchanged(_) | Outcome::TooMuch(_)) => {}
            Err(error) => assert_eq!(code_of(&error), Code::Cache, "{error:#}"),
        }
        self.check();
    }

    fn check(&self) {
        let mut names: Vec<_> = fs::read_dir(self.directory.path())
            .expect("listed")
            .map(|entry| entry.expect("listed").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["cache", "home", "victim"]);
        assert_eq!(fs::read(self.directory.path().join("victim")).expect("read"), b"untouched");
        for entry in fs::read_dir(self.cache()).expect("listed") {
            let path = entry.expect("listed").path();
            if path.file_name().is_some_and(|name| name == ".kiln") {
                let left = fs::read_dir(&path).expect("listed").count();
                assert_eq!(left, 0, "something is left in {}", path.display());
                continue;
            }
            match path.is_dir() && !path.is_symlink() {
                true => remove(&path),
                false => fs::remove_file(&path).expect("removed"),
            }
        }
        fs::write(self.cache().join("there"), "before").expect("written");
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }
}

/// Directories may be read-only, and their names anything.
fn remove(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("changed");
        let below = fs::read_dir(&directory).expect("listed").map(|entry| entry.expect("listed").path());
        open.extend(below.filter(|path| path.is_dir() && !path.is_symlink()));
    }
    fs::remove_dir_all(path).expect("removed");
}
