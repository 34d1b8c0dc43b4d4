//! Trees deeper than a commit takes: skipped directories are named, and all commands for caches see existing ones.

use std::time::SystemTime;

use kiln::cache::{Chosen, CommitLimit, Outcome, Wanted, export, import, prune, renew, stage, verify};

use crate::cache::{Bench, Upper, committed};

/// A directory so deep, and its file.
fn deep(levels: usize) -> (String, String) {
    let directory = "d/".repeat(levels);
    let file = format!("{directory}file");
    (directory, file)
}

fn staged(bench: &Bench, upper: Upper) -> Outcome {
    stage(&bench.lease(), &upper.end()[..], CommitLimit::default()).unwrap()
}

/// All directories on the way, with a file in each.
fn tree(levels: usize) -> Upper {
    (1..=levels).fold(Upper::default(), |upper, level| {
        let (directory, file) = deep(level);
        upper.dir(&directory, 0o755).file(&file, "x")
    })
}

#[test]
fn what_is_too_deep_for_a_commit_is_left_out_and_named() {
    let bench = Bench::new();
    let long = "n".repeat(250) + "/";
    let long = (1..=17).fold(tree(150), |upper, level| upper.dir(&long.repeat(level), 0o755));
    // Junk that is deeper is not named.
    let junk = (1..=150).fold(Upper::default().dir("npm/", 0o755), |upper, level| {
        upper.dir(&format!("npm/_logs/{}", "d/".repeat(level)), 0o755)
    });
    assert!(matches!(staged(&bench, junk), Outcome::Staged(staged) if staged.left_out.words().is_none()));
    let kept = committed(&bench.lease(), &long.dir("own/", 0o755).file("own/work", "done").end());
    let words = kept.left_out.words().unwrap();
    assert!(words.contains("it lies deeper than 128 directories"), "{words}");
    assert!(bench.has(&deep(127).1) && !bench.has(&deep(128).1) && bench.has("own/work"));
    bench.is_clean();
}

#[test]
fn a_link_to_what_is_too_deep_brings_its_content() {
    let bench = Bench::new();
    let (_, file) = deep(130);
    let upper = (1..=130).fold(Upper::default(), |upper, level| upper.dir(&deep(level).0, 0o755));
    committed(&bench.lease(), &upper.linked(&file, "content").hard_link("own", &file).end());
    assert_eq!(bench.read("own"), "content");
}

#[test]
fn what_is_deep_is_counted_compared_exported_as_far_as_it_can_be_imported_and_pruned() {
    let bench = Bench::new();
    for level in [10, 120, 128, 300] {
        bench.write(&deep(level).1, "x");
    }
    assert_eq!(renew(&bench.home(), &bench.cache()).unwrap()["d"].entries, 4);
    assert_eq!(verify(&bench.lease()).unwrap().faults, []);
    let mut archive = Vec::new();
    assert_eq!(export(&bench.lease(), &Chosen::All, &mut archive).unwrap().entries, 2);
    let other = Bench::new();
    let Outcome::Staged(staged) = import(&other.lease(), &archive[..], CommitLimit::default()).unwrap()
    else {
        panic!("it is new")
    };
    assert_eq!(staged.left_out.words(), None, "one limit for both ways");
    let lease = bench.alone();
    let wanted = Wanted { most_bytes: Some(0), ..Wanted::default() };
    let pruned = prune(&lease, &wanted, SystemTime::now()).unwrap();
    assert_eq!(pruned.removed[0].amount.entries, 4);
    assert!(!bench.has("d"));
    bench.is_clean();
}
