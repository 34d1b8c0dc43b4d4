//! How much a program has written below a directory, while it runs: git has no limit of its own.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::limit::{Budget, OverLimit};

/// How often it is counted.
const INTERVAL: Duration = Duration::from_millis(250);
/// A large tree takes a while to count: this share of the time goes into it at most.
const SHARE: u32 = 8;
/// An entry takes at least a block, so that their number is bounded as well.
const BLOCK: u64 = 4096;

/// Ends when the files below `directory` exceed the limit for one source.
pub(super) async fn beyond(directory: &Path, budget: &Budget) -> OverLimit {
    let mut pause = INTERVAL;
    loop {
        tokio::time::sleep(pause).await;
        let started = Instant::now();
        if let Err(over) = check(directory, budget).await {
            return over;
        }
        pause = INTERVAL.max(started.elapsed() * SHARE);
    }
}

/// Whether the files below `directory` are within the limit for one source.
///
/// # Errors
/// The limit that is exceeded.
pub(super) async fn check(directory: &Path, budget: &Budget) -> Result<(), OverLimit> {
    let directory = directory.to_owned();
    let used = tokio::task::spawn_blocking(move || of(directory)).await.unwrap_or(0);
    budget.check(0, used)
}

/// The bytes that all entries below use on the disk; entries that are removed meanwhile count as 0.
fn of(directory: PathBuf) -> u64 {
    let mut used = 0_u64;
    let mut open = vec![directory];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            used = used.saturating_add((metadata.blocks() * 512).max(BLOCK));
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::FetchLimit;

    #[tokio::test]
    async fn many_small_files_are_as_much_as_a_large_one() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("below")).expect("made");
        for number in 0..20 {
            fs::write(directory.path().join(format!("below/{number}")), "").expect("written");
        }
        std::os::unix::fs::symlink("/", directory.path().join("link")).expect("linked");
        let used = of(directory.path().to_owned());
        assert!((20 * BLOCK..64 * BLOCK).contains(&used), "{used}");
        let budget = Budget::of(FetchLimit { each: 10 * BLOCK, total: u64::MAX });
        assert_eq!(beyond(directory.path(), &budget).await, OverLimit::Each(10 * BLOCK));
    }
}
