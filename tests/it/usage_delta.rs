//! The recorded size of a cache is its size: no file is counted twice, and none of another directory.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use kiln::{
    cache::{CommitLimit, Lease, Outcome, Staged, commit, held, renew, stage},
    event::Amount,
    home::Home,
};
use kiln_protocol::Access;

use crate::cache::{Bench, Upper, committed, eventually};

fn staged(lease: &Lease, upper: Upper) -> Staged {
    match stage(lease, &upper.end()[..], CommitLimit::default()).unwrap() {
        Outcome::Staged(staged) => *staged,
        other => panic!("{other:?}"),
    }
}

/// The recorded size, without a count.
fn said(home: &Home, cache: &Path) -> Vec<(String, Amount)> {
    let held = held(home, cache, Access::ReadOnly).unwrap().unwrap();
    assert!(!held.exact, "the cache was not counted");
    held.amounts.into_iter().collect()
}

fn counted(bench: &Bench) -> Vec<(String, Amount)> {
    renew(&bench.home(), &bench.cache()).unwrap().into_iter().collect()
}

fn files(of: &str) -> Upper {
    let upper = Upper::default().dir("pip/", 0o755).dir("pip/wheels/", 0o755).dir("own/", 0o755);
    let upper = (0..100).fold(upper, |upper, n| upper.file(&format!("own/{n}"), "the same in all of them"));
    upper.file("pip/wheels/w", of).file("own/last", of)
}

#[test]
fn builds_that_commit_the_same_add_it_once() {
    let bench = Bench::new();
    // So that there is a summary to be kept up to date.
    bench.write("stays", "x");
    renew(&bench.home(), &bench.cache()).unwrap();
    let builds: Vec<(Lease, Staged)> = ["first", "second one", "3rd"]
        .map(|of| {
            let lease = bench.lease();
            let staged = staged(&lease, files(of));
            (lease, staged)
        })
        .into();
    let mut gains = Vec::new();
    for (lease, staged) in builds {
        let kept = commit(&lease, staged, lease.lock_commits().unwrap()).unwrap();
        gains.push(kept.gains.values().map(|amount| amount.entries).sum::<u64>());
        // Two files wait, not all hundred.
        assert!(kept.waiting <= 4, "{}", kept.waiting);
    }
    // The last one is alone: what is there stays where the name stands for the content.
    assert_eq!(gains, [102, 2, 1], "what another one has put there is not new");
    drop(bench.alone());
    eventually(|| !bench.has(".kiln"));
    let before = said(&bench.home(), &bench.cache());
    assert_eq!(before, counted(&bench));
    assert_eq!(before.iter().map(|(_, amount)| amount.entries).sum::<u64>(), 103);
}

#[test]
fn deletions_and_replacements_are_taken_away() {
    let bench = Bench::new();
    for path in ["own/a", "own/b", "pip/tree/x", "pip/tree/y", "opaque/x"] {
        bench.write(path, "12345");
    }
    std::thread::sleep(Duration::from_millis(20));
    renew(&bench.home(), &bench.cache()).unwrap();
    let upper = Upper::default()
        .opaque("opaque/")
        .file("opaque/y", "1")
        .dir("own/", 0o755)
        .file("own/a", "1")
        .whiteout("own/b")
        .dir("pip/", 0o755)
        .file("pip/tree", "a file now")
        // Rewritten by every build: never new, and there nevertheless.
        .dir("npm/", 0o755)
        .dir("npm/_cacache/", 0o755)
        .dir("npm/_cacache/index-v5/", 0o755)
        .file("npm/_cacache/index-v5/x", "line");
    assert_eq!(committed(&bench.alone(), &upper.end()).gains.get("npm"), None);
    let before = said(&bench.home(), &bench.cache());
    assert_eq!(before, counted(&bench));
    let amount = |entries, bytes| Amount { entries, bytes };
    let expected =
        [("npm", amount(1, 4)), ("opaque", amount(1, 1)), ("own", amount(1, 1)), ("pip", amount(1, 10))];
    assert_eq!(before, expected.map(|(name, amount)| (name.to_owned(), amount)));
}

#[test]
fn a_directory_is_not_taken_for_one_that_had_its_number() {
    let one = Bench::new();
    one.write("own/a", "x");
    // Times of files are as coarse as the kernel's tick.
    std::thread::sleep(Duration::from_millis(20));
    let other = Bench::new();
    renew(&one.home(), &one.cache()).unwrap();
    assert!(!held(&one.home(), &one.cache(), Access::ReadOnly).unwrap().unwrap().exact);
    let summary = |bench: &Bench| {
        let metadata = fs::metadata(bench.cache()).unwrap();
        one.home().dir("summaries").unwrap().join(format!("{:x}-{:x}", metadata.dev(), metadata.ino()))
    };
    if fs::metadata(one.cache()).unwrap().created().is_err() {
        return crate::skip::skip("the file system knows no time of birth");
    }
    fs::rename(summary(&one), summary(&other)).unwrap();
    let held = held(&one.home(), &other.cache(), Access::ReadOnly).unwrap().unwrap();
    assert_eq!((held.exact, held.amounts.len()), (true, 0));
}
