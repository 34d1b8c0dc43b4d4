//! Pruning removes whole entries, and nothing while a process uses the cache.

use std::{
    fs::{self, File, FileTimes, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use kiln::cache::{
    LockMode, Request, Wanted, held, named, private, prune, renew, sweep, sweep_private, would_prune,
};
use kiln_protocol::Access;

use crate::cache::{Bench, eventually};

/// A module of Go, in all its places.
const MODULE: [&str; 5] = [
    "gomodcache/cache/download/example.org/m/@v/v1.0.0.info",
    "gomodcache/cache/download/example.org/m/@v/v1.0.0.mod",
    "gomodcache/cache/download/example.org/m/@v/v1.0.0.zip",
    "gomodcache/cache/download/example.org/m/@v/v1.0.0.ziphash",
    "gomodcache/example.org/m@v1.0.0/sub/a.go",
];
const CRATE: [&str; 2] =
    ["cargo/registry/cache/i/itoa-1.0.9.crate", "cargo/registry/src/i/itoa-1.0.9/src/lib.rs"];
const MIRROR: [&str; 2] = ["git/00/all.refs", "git/00/objects/pack/pack-1.pack"];

fn age(path: &Path, hours: u64) {
    let time = SystemTime::now() - Duration::from_secs(hours * 3600);
    let times = FileTimes::new().set_accessed(time).set_modified(time);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// The older, the later it stands here.
fn filled() -> Bench {
    let bench = Bench::new();
    let all = [&["sha256:00", "own/a/b"][..], &MIRROR, &CRATE, &MODULE];
    for (hours, paths) in all.iter().enumerate() {
        for path in *paths {
            bench.write(path, "0123456789");
            age(&bench.cache().join(path), hours as u64 * 10);
        }
    }
    for directory in ["gomodcache/example.org/m@v1.0.0/sub", "gomodcache/example.org/m@v1.0.0"] {
        fs::set_permissions(bench.cache().join(directory), Permissions::from_mode(0o555)).unwrap();
    }
    bench
}

fn there(bench: &Bench, paths: &[&str]) -> usize {
    paths.iter().filter(|path| bench.has(path)).count()
}

fn most(bytes: u64) -> Wanted {
    Wanted { most_bytes: Some(bytes), ..Wanted::default() }
}

fn kiln(bench: &Bench, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["cache", "prune", "--cache-dir"])
        .arg(bench.cache())
        .args(arguments)
        .env("KILN_HOME", bench.home().root())
        .output()
        .unwrap()
}

#[test]
fn entries_go_whole_the_least_recently_used_first_and_the_summary_knows() {
    let bench = filled();
    renew(&bench.home(), &bench.cache()).unwrap();
    let lease = bench.alone();
    // One byte too much costs the oldest entry, all of it.
    let pruned = prune(&lease, &most(109), SystemTime::now()).unwrap();
    let names: Vec<_> = pruned.removed.iter().map(|entry| (&*entry.kind, &*entry.name)).collect();
    assert_eq!(names, [("gomodcache", "example.org/m/v1.0.0")]);
    assert_eq!((pruned.removed[0].amount.bytes, pruned.left.bytes), (50, 60));
    assert_eq!(there(&bench, &MODULE), 0);
    assert!(
        !bench.has("gomodcache/cache") && bench.has("gomodcache"),
        "empty directories go, but for the top"
    );
    assert_eq!(there(&bench, &[&CRATE[..], &MIRROR].concat()), 4);
    let amounts = held(&bench.home(), &bench.cache(), Access::ReadOnly).unwrap().unwrap().amounts;
    assert_eq!((amounts["gomodcache"].bytes, amounts["cargo"].bytes), (0, 20));

    let old = Wanted { unused_for: Some(Duration::from_secs(15 * 3600)), ..Wanted::default() };
    prune(&lease, &old, SystemTime::now()).unwrap();
    assert_eq!((there(&bench, &CRATE), there(&bench, &MIRROR)), (0, 2));
    let names = ["sources", "git/00"].map(|word| named(&lease, word, "--keep").unwrap());
    prune(&lease, &Wanted { keep: names.into(), ..most(0) }, SystemTime::now()).unwrap();
    assert_eq!((there(&bench, &MIRROR), there(&bench, &["sha256:00", "own"])), (2, 1));
    drop(lease);
    bench.is_clean();
}

#[test]
fn a_hole_is_no_bytes() {
    let bench = Bench::new();
    bench.write("own/a", "0123456789");
    bench.write("own/b", "0123456789");
    File::options().write(true).open(bench.cache().join("own/b")).unwrap().set_len(1 << 42).unwrap();
    let amounts = renew(&bench.home(), &bench.cache()).unwrap();
    // The block that its bytes lie in is all that the sparse file holds.
    assert!((20..1 << 16).contains(&amounts["own"].bytes), "{amounts:?}");
    let pruned = would_prune(&bench.lease(), &most(1 << 16), SystemTime::now()).unwrap();
    assert_eq!((pruned.removed.len(), pruned.left.bytes), (0, amounts["own"].bytes));
}

#[test]
fn a_report_counts_files_and_what_goes_together() {
    let bench = filled();
    let report = |arguments: &[&str]| {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.args(["cache", "report", "--cache-dir"]).arg(bench.cache()).args(arguments);
        kiln.env("KILN_HOME", bench.home().root()).output().unwrap().stdout
    };
    let said: serde_json::Value = serde_json::from_slice(&report(&["--json"])).unwrap();
    let go = &said["directories"]["gomodcache"];
    assert_eq!((&go["entries"], &go["units"], &go["unit"]), (&5.into(), &1.into(), &"module version".into()));
    assert_eq!(said["directories"]["git"]["unit"], "repository");
    let text = String::from_utf8(report(&[])).unwrap();
    let line = text.lines().find(|line| line.starts_with("gomodcache")).unwrap();
    assert!(line.ends_with("50 B  30h ago    1 × module version"), "{text}");
    let cache = bench.cache().canonicalize().unwrap();
    assert_eq!(text.lines().next(), Some(&*cache.to_string_lossy()), "{text}");
    assert!(text.contains("\nNAME ") && text.lines().last().unwrap().starts_with("total "), "{text}");
}

#[test]
fn what_npms_index_names_goes_with_it() {
    let bench = Bench::new();
    let content = |n: u8| format!("npm/_cacache/content-v2/sha512/{n:02x}/00/{}", "00".repeat(62));
    let integrity = |n: u8| {
        let bytes: Vec<u8> = [n].into_iter().chain([0; 63]).collect();
        format!("sha512-{}", data_encoding::BASE64.encode(&bytes))
    };
    let bucket = |n: u8| format!("npm/_cacache/index-v5/{n:02x}/00/x");
    // The second bucket names two contents; nothing is left of what the last one names.
    for (n, named) in [(1, vec![1]), (2, vec![2, 3]), (4, vec![9])] {
        let line = |n: &u8| format!("\n0011\t{{\"key\":\"k\",\"integrity\":\"{}\"}}", integrity(*n));
        bench.write(&bucket(n), &named.iter().map(line).collect::<String>());
        age(&bench.cache().join(bucket(n)), 20);
    }
    for n in [1, 2, 3, 5] {
        bench.write(&content(n), "x");
        age(&bench.cache().join(content(n)), if n == 3 { 1 } else { 20 });
    }
    let lease = bench.alone();
    let old = Wanted { unused_for: Some(Duration::from_secs(10 * 3600)), ..Wanted::default() };
    assert_eq!(prune(&lease, &old, SystemTime::now()).unwrap().removed.len(), 3);
    let all = [bucket(1), content(1), bucket(2), content(2), content(3), bucket(4), content(5)];
    assert_eq!(all.map(|path| bench.has(&path)), [false, false, true, true, true, false, false]);
}

#[test]
fn a_name_that_means_nothing_is_an_error_and_links_are_not_followed() {
    let bench = filled();
    std::os::unix::fs::symlink("..", bench.cache().join("up")).unwrap();
    let lease = bench.lease();
    for (word, path) in [("go", "gomodcache"), ("npm", "npm"), ("git/00/", "git/00"), ("up", "up")] {
        assert_eq!(named(&lease, word, "--keep").unwrap(), path.as_bytes());
    }
    for word in ["", "golang", "../home", "/etc", "up/home", "git/01"] {
        let error = named(&lease, word, "--keep").unwrap_err();
        assert_eq!(kiln::exit::code_of(&error), kiln::exit::Code::Usage, "{word}");
    }
}

#[test]
fn nothing_goes_while_a_build_uses_the_cache_or_when_it_is_only_asked() {
    let bench = filled();
    let build = bench.lease();
    let output = kiln(&bench, &["--max-size", "0"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"), "{output:?}");
    assert!(kiln(&bench, &["--max-size", "0", "--dry-run"]).status.success());
    assert_eq!(would_prune(&build, &most(0), SystemTime::now()).unwrap().removed.len(), 5);
    assert_eq!(there(&bench, &[&MODULE[..], &CRATE, &MIRROR, &["sha256:00", "own/a/b"]].concat()), 11);
    drop(build);
    drop(bench.alone());

    let output = kiln(&bench, &["--max-size", "0", "--keep", "git,own", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["freed_bytes"], 80);
    assert_eq!(said["left"], serde_json::json!({"entries": 3, "bytes": 30}));
    assert_eq!(said["removed"][0]["name"], "example.org/m/v1.0.0");
    assert_eq!(there(&bench, &[&MIRROR[..], &["own/a/b"]].concat()), 3);
    bench.is_clean();
    for wrong in [&[][..], &["--max-size", "x"], &["--older-than", "5"], &["--max-size", "0", "--keep", "x"]]
    {
        assert_eq!(kiln(&bench, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn of_caches_that_are_gone_nothing_is_kept() {
    let bench = Bench::new();
    let home = bench.home();
    let names = |below: &str| fs::read_dir(home.root().join(below)).map_or(0, |listing| listing.count());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let lease = |directory: &Path| {
        let request = Request {
            directory: directory.to_owned(),
            lock_mode: LockMode::Exclusive,
            who: "a test".into(),
            limit: Duration::ZERO,
        };
        runtime.block_on(private(&home, &request, &mut |_| {})).unwrap()
    };
    let other = bench.cache().with_extension("other");
    fs::create_dir(&other).unwrap();
    let (first, second) = (lease(&other), lease(&other));
    let own = second.directory().to_owned();
    assert_ne!(own, other);
    fs::write(own.join("x"), "x").unwrap();
    drop(bench.lease());
    renew(&home, &other).unwrap();
    assert_eq!((names("leases"), names("journals"), names("summaries")), (3, 3, 1));
    fs::remove_dir(&other).unwrap();
    assert_eq!(sweep(&home).unwrap(), 0, "it is in use, wherever it is");
    drop(first);
    eventually(|| sweep(&home).unwrap() == 1);
    assert_eq!((names("leases"), names("journals"), names("summaries")), (2, 2, 0));

    assert_eq!(sweep_private(&home).unwrap(), [] as [std::path::PathBuf; 0], "a build has it");
    drop(second);
    eventually(|| sweep_private(&home).unwrap() == [own.clone()]);
    eventually(|| sweep(&home).unwrap() == 1);
    assert_eq!((names("leases"), names("private")), (1, 0));
    drop(bench.alone());
}

#[test]
fn a_directory_that_something_is_removed_from_has_its_mode_again() {
    let bench = filled();
    let stays = "gomodcache/example.org/other@v1.0.0/a.go";
    bench.write(stays, "0123456789");
    let directory = bench.cache().join("gomodcache/example.org");
    fs::set_permissions(&directory, Permissions::from_mode(0o555)).unwrap();
    let old = Wanted { unused_for: Some(Duration::from_secs(15 * 3600)), ..Wanted::default() };
    prune(&bench.alone(), &old, SystemTime::now()).unwrap();
    assert_eq!((there(&bench, &MODULE), there(&bench, &[stays])), (0, 1));
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o7777, 0o555);
}
