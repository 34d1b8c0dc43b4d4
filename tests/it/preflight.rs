//! Caches that are refused: around kiln's own directory, in another one that is in use, with strange names.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use kiln::{
    cache::{Lease, LockMode, Request, try_acquire},
    home::Home,
};
use tempfile::TempDir;

/// A temporary directory with a home of kiln in it.
struct Work(TempDir);

impl Work {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = fs::canonicalize(self.0.path()).unwrap().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn kiln(&self, arguments: &[&str], cache: &Path) -> Output {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.arg("cache").args(arguments).env("KILN_HOME", self.0.path().join("home/kiln"));
        kiln.arg("--cache-dir").arg(cache).output().unwrap()
    }

    fn lease(&self, directory: PathBuf) -> Lease {
        let request =
            Request { directory, lock_mode: LockMode::Shared, who: "a build".into(), limit: Duration::ZERO };
        try_acquire(&Home::at(self.path("home/kiln")), &request).unwrap().unwrap()
    }
}

fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(7) && said.contains(why), "{output:?}");
}

#[test]
fn a_cache_around_kilns_own_directory_is_refused() {
    let work = Work::new();
    fs::write(work.path("home/kiln/images").join("root"), "an image").unwrap();
    for arguments in [&["report"][..], &["prune", "--max-size", "0"], &["verify", "--repair"]] {
        refused(&work.kiln(arguments, &work.path("home")), "lie one in the other");
    }
    let build = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["run", "--runner", "bubblewrap", "--cache-dir", "home", "--", "true"])
        .env("KILN_HOME", work.path("home/kiln"))
        .current_dir(work.path(""))
        .output()
        .unwrap();
    assert_eq!(build.status.code(), Some(125), "{build:?}");
    assert!(String::from_utf8_lossy(&build.stderr).contains("lie one in the other"), "{build:?}");
    assert!(work.path("home/kiln/images").join("root").exists());
}

#[test]
fn nothing_goes_from_a_cache_while_one_in_it_or_around_it_is_used() {
    let work = Work::new();
    let (outer, inner) = (work.path("cache"), work.path("cache/inner"));
    fs::write(inner.join("x"), "x").unwrap();
    let build = work.lease(inner.clone());
    let prune = ["prune", "--max-size", "0"];
    refused(&work.kiln(&prune, &outer), "cache/inner is in use");
    refused(&work.kiln(&["verify", "--repair"], &outer), "cache/inner is in use");
    drop(build);
    let build = work.lease(outer.clone());
    refused(&work.kiln(&prune, &inner), "cache is in use");
    drop(build);
    assert!(inner.join("x").exists());
    let pruned = work.kiln(&prune, &outer);
    assert!(pruned.status.success() && !inner.exists(), "{pruned:?}");
}

#[test]
fn a_cache_whose_name_is_no_text_is_reported_as_any_other() {
    let work = Work::new();
    let cache = work.path("c").join(OsString::from_vec(b"\x1b[31mred\xff".to_vec()));
    fs::create_dir(&cache).unwrap();
    for command in ["report", "verify"] {
        let told = work.kiln(&[command, "--json"], &cache);
        assert!(told.status.success(), "{told:?}");
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        assert!(told["cache_dir"].as_str().unwrap().ends_with("red\u{fffd}"), "{told}");
    }
    let pruned = work.kiln(&["prune", "--max-size", "0", "--json"], &cache);
    assert!(pruned.status.success(), "{pruned:?}");
    let list = |json: &[&str]| {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.args(["cache", "ls"]).args(json).env("KILN_HOME", work.path("home/kiln"));
        let output = kiln.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(list(&["--json"]).contains("red\u{fffd}"));
    let text = list(&[]);
    assert!(text.contains("red") && !text.contains('\x1b'), "{text:?}");
}

#[test]
fn an_archive_makes_no_directory() {
    let work = Work::new();
    let missing = work.path("").join("missing");
    let file = missing.join("x.tar.zst");
    refused(&work.kiln(&["export", file.to_str().unwrap()], &work.path("cache")), "is not a directory");
    assert!(!missing.exists());
}
