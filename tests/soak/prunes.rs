//! SIGKILL for `kiln cache prune` at any moment: every entry is whole or gone, and the next start finishes.

use std::{
    fs,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use crate::{place::Place, sampling::Sampler};

/// How many are killed in the soak.
const ALL: usize = 300;
/// How many are killed otherwise.
const FEW: usize = 2;

/// So many modules, each of them in three places.
const MODULES: usize = 100;

fn parts(cache: &Path, n: usize) -> [std::path::PathBuf; 3] {
    let download = cache.join("gomodcache/cache/download/m/@v");
    [
        download.join(format!("v{n}.zip")),
        download.join(format!("v{n}.mod")),
        cache.join(format!("gomodcache/m@v{n}/a.go")),
    ]
}

fn fill(cache: &Path) {
    for part in (0..MODULES).flat_map(|n| parts(cache, n)) {
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(part, "x").unwrap();
    }
}

#[test]
fn a_prune_that_is_killed_is_all_or_nothing() {
    let (mut sampler, cases) = Sampler::of("prunes", vec![(); ALL], FEW);
    let place = Place::new();
    let cache = place.project().join("melange-cache");
    let prune = || {
        let mut kiln = place.kiln();
        kiln.args(["cache", "prune", "--max-size", "0"]).stdout(Stdio::null());
        kiln
    };
    fill(&cache);
    let started = Instant::now();
    assert!(prune().status().unwrap().success());
    let whole = started.elapsed();
    let (mut none, mut all) = (0, 0);
    let kills = cases.len();
    for () in cases {
        fill(&cache);
        let mut child = prune().spawn().unwrap();
        thread::sleep(sampler.moment(Duration::ZERO..whole));
        child.kill().unwrap();
        child.wait().unwrap();
        let verify = place.kiln().args(["cache", "verify"]).output().unwrap();
        assert!(verify.status.success(), "{verify:?}");
        assert!(!cache.join(".kiln").exists(), "something is still staged");
        let left: usize = (0..MODULES)
            .map(|n| parts(&cache, n).iter().filter(|part| part.exists()).count())
            .inspect(|left| assert!(*left == 0 || *left == 3, "{left} parts of a module are left"))
            .sum();
        assert!(left == 0 || left == 3 * MODULES, "a part of one decision is left: {left}");
        if left == 0 { all += 1 } else { none += 1 }
    }
    for journal in fs::read_dir(place.root().join("home/journals")).unwrap().flatten() {
        assert_eq!(fs::read_dir(journal.path()).unwrap().count(), 0);
    }
    assert!(kills <= FEW || (none > 0 && all > 0), "only one end was met: {none} none, {all} all");
    sampler.say(&format!("{none} had not been decided when they were killed, {all} were finished"));
}
