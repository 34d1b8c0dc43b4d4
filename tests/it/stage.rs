//! The writes of odd and hostile builds: the staged part, and the refused part.

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use data_encoding::HEXLOWER;
use kiln::{
    cache::{CommitLimit, Outcome, import, stage},
    event::Amount,
    exit::{Code, code_of},
};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::cache::{Bench, Upper, committed};

/// Two names, the first of which is not kept.
fn junk_first(content: &str) -> Upper {
    Upper::default()
        .dir("uv/", 0o755)
        .linked("uv/.lock", content)
        .dir("uv/archive-v0/", 0o755)
        .dir("uv/archive-v0/x/", 0o755)
        .hard_link("uv/archive-v0/x/f", "uv/.lock")
        .hard_link("uv/archive-v0/x/g", "uv/.lock")
}

#[test]
fn a_link_to_what_is_not_kept_brings_the_builds_content_and_never_the_caches() {
    for stale in [true, false] {
        let bench = Bench::new();
        if stale {
            bench.write("uv/.lock", "stale");
        }
        let kept = committed(&bench.lease(), &junk_first("fresh").end());
        assert_eq!(kept.gains["uv"], Amount { entries: 2, bytes: 5 });
        let inode = |path: &str| bench.cache().join(path).metadata().unwrap().ino();
        for path in ["uv/archive-v0/x/f", "uv/archive-v0/x/g"] {
            assert_eq!(bench.read(path), "fresh");
            assert_eq!(inode(path), inode("uv/archive-v0/x/f"));
        }
        assert_eq!(bench.has("uv/.lock"), stale);
        // Once more, it is no change.
        let again = stage(&bench.lease(), &junk_first("fresh").end()[..], CommitLimit::default()).unwrap();
        assert!(matches!(again, Outcome::Unchanged(_)), "{again:?}");
        bench.is_clean();
    }
}

#[test]
fn a_link_leads_only_to_what_this_build_has_brought() {
    let fill = |bench: &Bench| {
        bench.write("own/stays", "x");
        bench.write("uv/.lock", "stale");
        bench.write(".kiln/0-0-1/tree/half", "x");
    };
    for (target, upper) in [
        ("own/stays", Upper::default()),
        ("uv/.lock", Upper::default().dir("uv/", 0o755).file("uv/.lock", "without other names")),
        (".kiln/0-0-1/tree/half", Upper::default().dir(".kiln/", 0o700).linked(".kiln/half", "x")),
        (".kiln/half", Upper::default().dir(".kiln/", 0o700).linked(".kiln/half", "x")),
    ] {
        let bench = Bench::new();
        fill(&bench);
        let upper = upper.hard_link("x", target).end();
        let error = stage(&bench.lease(), &upper[..], CommitLimit::default()).unwrap_err();
        assert_eq!(code_of(&error), Code::Cache, "{target}: {error:#}");
        assert!(format!("{error:#}").contains("it is a hard link to"), "{target}: {error:#}");
        assert!(!bench.has("x"));
    }
    let bench = Bench::new();
    fill(&bench);
    committed(
        &bench.lease(),
        &Upper::default().dir("own/", 0o755).file("own/stays", "x").hard_link("x", "own/stays").end(),
    );
}

#[test]
fn a_link_to_what_is_the_same_in_the_cache_is_one_to_that() {
    let bench = Bench::new();
    committed(&bench.lease(), &Upper::default().dir("own/", 0o755).file("own/same", "x").end());
    let upper = Upper::default().dir("own/", 0o755).file("own/same", "x").hard_link("own/z", "own/same");
    let kept = committed(&bench.lease(), &upper.end());
    assert_eq!(kept.gains["own"], Amount { entries: 1, bytes: 0 });
    assert_eq!(fs::metadata(bench.cache().join("own/z")).unwrap().nlink(), 2);
    bench.is_clean();
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Names of "right" by its hashes: of a source, and of npm.
fn names_of_right() -> [String; 2] {
    let sha1 = hex(&Sha1::digest("right"));
    let npm = format!("npm/_cacache/content-v2/sha1/{}/{}/{}", &sha1[..2], &sha1[2..4], &sha1[4..]);
    [format!("sha256:{}", hex(&Sha256::digest("right"))), npm]
}

/// All directories above a path.
fn above(path: &str) -> Upper {
    path.match_indices('/').fold(Upper::default(), |upper, (at, _)| upper.dir(&path[..=at], 0o755))
}

#[test]
fn nothing_gets_in_under_a_hash_that_is_not_its_own_and_all_else_does() {
    for name in names_of_right() {
        for poison in [
            above(&name).file(&name, "wrong"),
            above(&name).linked(&name, "wrong").file("x", "x").hard_link("z", &name),
            above(&name).file("a", "wrong").hard_link(&name, "a"),
            above(&name).symlink(&name, "/etc/passwd"),
        ] {
            let bench = Bench::new();
            let kept = committed(&bench.lease(), &poison.dir("own/", 0o755).file("own/work", "done").end());
            let left_out = kept.left_out.words().unwrap();
            assert_eq!(left_out, format!("{name:?} (its name says otherwise)"));
            assert!(!bench.has(&name) && bench.has("own/work"), "{name}");
            assert!(!bench.has("z") || bench.read("z") == "wrong");
            bench.is_clean();
        }
        let bench = Bench::new();
        let right = above(&name).file("a", "right").hard_link(&name, "a").end();
        assert_eq!(committed(&bench.lease(), &right).left_out.words(), None);
        assert_eq!(bench.read(&name), "right");
        let wrong = zstd::encode_all(&above(&name).file(&name, "wrong").end()[..], 1).unwrap();
        let Outcome::Unchanged(left_out) =
            import(&bench.lease(), &wrong[..], CommitLimit::default()).unwrap()
        else {
            panic!("it is poison")
        };
        assert!(left_out.words().is_some());
        assert_eq!(bench.read(&name), "right");
    }
    let bench = Bench::new();
    let directory = Upper::default().dir("sha256:00/", 0o755).file("sha256:00/x", "x").file("y", "y").end();
    committed(&bench.lease(), &directory);
    assert!(!bench.has("sha256:00") && bench.has("y"));
}

#[test]
fn a_damaged_file_with_a_hash_in_its_name_is_replaced_by_the_right_content() {
    for name in names_of_right() {
        let bench = Bench::new();
        let one = bench.lease();
        // Straight into the cache, after the build began.
        bench.write(&name, "wrong");
        committed(&one, &above(&name).file(&name, "right").end());
        drop(one);
        assert_eq!(bench.read(&name), "right");
        bench.is_clean();
    }
}

#[test]
fn a_file_that_a_tool_has_used_gets_the_later_time_when_no_other_process_uses_the_cache() {
    let bench = Bench::new();
    bench.write("gocache/00/x-d", "compiled");
    let path = bench.cache().join("gocache/00/x-d");
    let seconds = |path: &Path| fs::metadata(path).unwrap().mtime();
    let old = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(5));
    File::open(&path).unwrap().set_times(old).unwrap();
    let used = || {
        Upper::default().dir("gocache/", 0o755).dir("gocache/00/", 0o755).file("gocache/00/x-d", "compiled")
    };

    let other = bench.lease();
    assert!(committed(&bench.lease(), &used().end()).gains.is_empty());
    assert_eq!(seconds(&path), 5, "another build may be looking at it");
    drop(other);
    assert!(committed(&bench.alone(), &used().end()).gains.is_empty());
    assert_eq!(seconds(&path), 1_000_000_000);
    // A time that is earlier, or still to come, is none.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    File::open(&path).unwrap().set_times(FileTimes::new().set_modified(SystemTime::now())).unwrap();
    let again = stage(&bench.lease(), &used().end()[..], CommitLimit::default()).unwrap();
    assert!(matches!(again, Outcome::Unchanged(_)), "{again:?}");
    let future = Upper::default().dir("gocache/", 0o755).dir("gocache/00/", 0o755);
    committed(&bench.alone(), &future.changed_at(1 << 33).file("gocache/00/x-d", "compiled").end());
    assert!(seconds(&path).unsigned_abs() < now + 3600);
    bench.is_clean();
}

#[test]
fn times_of_links_and_attributes_of_directories_are_kept_with_names_of_any_bytes() {
    let bench = Bench::new();
    if xattr::set(bench.cache(), "user.probe", b"").is_err() {
        return crate::skip::skip("the file system has no extended attributes of users");
    }
    let upper = Upper::default()
        .attribute(b"user.note", "d")
        .dir("own/", 0o755)
        .symlink("own/link", "nowhere")
        .attribute(b"user.\xff", "1")
        .attribute(b"user.\xfe", "2")
        .file("own/file", "x");
    committed(&bench.lease(), &upper.end());
    let own = bench.cache().join("own");
    assert_eq!(xattr::get(&own, "user.note").unwrap().unwrap(), b"d");
    assert_eq!(fs::symlink_metadata(own.join("link")).unwrap().mtime(), 1_000_000_000);
    for (name, value) in [(&b"user.\xff"[..], b"1"), (b"user.\xfe", b"2")] {
        assert_eq!(xattr::get(own.join("file"), OsStr::from_bytes(name)).unwrap().unwrap(), value);
    }
}

#[test]
fn what_is_remembered_of_a_stream_is_bounded_whatever_things_are_called() {
    let bench = Bench::new();
    let long = "n".repeat(99);
    let limit = CommitLimit { entries: 10, ..CommitLimit::default() };
    for (deep, fits) in [(4, true), (5, false)] {
        let mut upper = Upper::default();
        for level in 1..=deep {
            upper = upper.dir(&format!("{long}/").repeat(level), 0o555);
        }
        let outcome = stage(&bench.lease(), &upper.end()[..], limit).unwrap();
        assert_eq!(matches!(outcome, Outcome::Staged(_)), fits, "{deep}");
    }
    // A file that the cache does not have is remembered as a hash.
    let gone = (0..9).fold(Upper::default(), |upper, n| upper.whiteout(&format!("{n}{}", "n".repeat(200))));
    let outcome = stage(&bench.lease(), &gone.end()[..], limit).unwrap();
    assert!(matches!(outcome, Outcome::Unchanged(_)), "{outcome:?}");
}
