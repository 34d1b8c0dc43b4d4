//! Export and import of a cache: the result is the same cache, or nothing.

use std::{
    collections::BTreeMap,
    fs::{self, File, FileTimes, Permissions},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, UNIX_EPOCH},
};

use kiln::{
    cache::{Chosen, CommitLimit, Kept, Outcome, commit, export, import},
    exit::{Code, code_of},
};
use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
    },
};
use proptest::prelude::*;

use crate::cache::{Bench, Upper};

fn archive(bench: &Bench, chosen: &Chosen) -> Vec<u8> {
    let mut bytes = Vec::new();
    export(&bench.lease(), chosen, &mut bytes).unwrap();
    bytes
}

fn imported(bench: &Bench, bytes: &[u8]) -> Option<Kept> {
    let lease = bench.lease();
    match import(&lease, bytes, CommitLimit::default()).unwrap() {
        Outcome::Staged(staged) => Some(commit(&lease, *staged, lease.lock_commits().unwrap()).unwrap()),
        Outcome::Unchanged(_) => None,
        Outcome::TooMuch(why) => panic!("{why}"),
    }
}

/// All that an archive has to bring back, by path: kind and content, mode, time, attribute, and the first of its names.
type Picture = BTreeMap<String, (String, u32, (i64, i64), Option<Vec<u8>>, Option<String>)>;

fn picture(root: &Path) -> Picture {
    let mut picture = Picture::new();
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let mut entries: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let time = (metadata.mtime(), metadata.mtime_nsec());
            let first = (metadata.nlink() > 1 && metadata.is_file())
                .then(|| names.entry(metadata.ino()).or_insert_with(|| name.clone()).clone());
            let mode = metadata.mode() & 0o777;
            let seen = if metadata.is_dir() {
                open.push(path.clone());
                ("directory".to_owned(), mode, time, xattr::get(&path, "user.note").unwrap_or(None), None)
            } else if metadata.is_symlink() {
                (format!("link {:?}", fs::read_link(&path).unwrap()), 0, time, None, None)
            } else {
                let content = format!("file {:?}", fs::read(&path).unwrap());
                (content, mode, time, xattr::get(&path, "user.note").unwrap_or(None), first)
            };
            picture.insert(name, seen);
        }
    }
    picture
}

/// One thing in a cache that is made up.
#[derive(Debug, Clone)]
enum Thing {
    File {
        content: Vec<u8>,
        mode: u32,
        seconds: u64,
        nanos: u32,
        note: Option<Vec<u8>>,
    },
    Directory {
        mode: u32,
        seconds: u64,
        note: Option<Vec<u8>>,
    },
    Symlink {
        target: String,
        seconds: i64,
    },
    /// One more name of an earlier file.
    Link(usize),
}

fn thing() -> impl Strategy<Value = Thing> {
    let content = prop::collection::vec(any::<u8>(), 0..2000);
    let note = || prop::option::of(prop::collection::vec(any::<u8>(), 1..40));
    let mode = prop::sample::select(vec![0o400_u32, 0o444, 0o600, 0o644, 0o755]);
    let directory = prop::sample::select(vec![0o500_u32, 0o555, 0o700, 0o755]);
    prop_oneof![
        3 => (content, mode, 0..4_000_000_000_u64, 0..1_000_000_000_u32, note()).prop_map(
            |(content, mode, seconds, nanos, note)| Thing::File { content, mode, seconds, nanos, note }
        ),
        2 => (directory, 0..4_000_000_000_u64, note())
            .prop_map(|(mode, seconds, note)| Thing::Directory { mode, seconds, note }),
        1 => ("\\./[a-z]{1,9}(/[a-z.]{0,9}[a-z]){0,15}", 0..4_000_000_000_i64)
            .prop_map(|(target, seconds)| Thing::Symlink { target, seconds }),
        1 => any::<usize>().prop_map(Thing::Link),
    ]
}

fn annotate(path: &Path, note: Option<&[u8]>) {
    if let Some(note) = note {
        // Where the file system has none, there is none to be kept.
        let _ = xattr::set(path, "user.note", note);
    }
}

/// Makes them, each in one of the directories before it. Modes and times of directories come last, since they would be in
/// the way and would change.
fn make(root: &Path, things: &[(usize, String, Thing)]) {
    let mut directories = vec![root.to_owned()];
    let mut files = Vec::new();
    let mut later = Vec::new();
    for (n, (parent, name, thing)) in things.iter().enumerate() {
        let path = directories[parent % directories.len()].join(format!("{n}{name}"));
        match thing {
            Thing::File { content, mode, seconds, nanos, note } => {
                fs::write(&path, content).unwrap();
                annotate(&path, note.as_deref());
                let time = UNIX_EPOCH + Duration::new(*seconds, *nanos);
                File::open(&path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
                files.push(path);
            }
            Thing::Directory { mode, seconds, note } => {
                fs::create_dir(&path).unwrap();
                annotate(&path, note.as_deref());
                directories.push(path.clone());
                later.push((path, *mode, *seconds));
            }
            Thing::Symlink { target, seconds } => {
                symlink(target, &path).unwrap();
                let time = TimeSpec::new(*seconds, 0);
                utimensat(AT_FDCWD, &path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
            }
            Thing::Link(which) if !files.is_empty() => {
                fs::hard_link(&files[which % files.len()], &path).unwrap()
            }
            Thing::Link(_) => {}
        }
    }
    for (path, mode, seconds) in later.into_iter().rev() {
        let time = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(seconds));
        File::open(&path).unwrap().set_times(time).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_comes_back_is_what_went(
        things in prop::collection::vec((any::<usize>(), "[a-zA-Zé ,]{0,30}", thing()), 0..30)
    ) {
        let (from, to) = (Bench::new(), Bench::new());
        make(&from.cache(), &things);
        let before = picture(&from.cache());
        let bytes = archive(&from, &Chosen::All);
        prop_assert_eq!(&bytes, &archive(&from, &Chosen::All), "the same entries are the same bytes");
        imported(&to, &bytes);
        prop_assert_eq!(&before, &picture(&to.cache()));
        prop_assert!(imported(&to, &bytes).is_none(), "nothing is new the second time");
        to.is_clean();
    }
}

/// A source whose content is "x".
const X: &str = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

#[test]
fn parts_go_alone_and_junk_does_not_go() {
    let (from, to) = (Bench::new(), Bench::new());
    for path in ["pip/http/a", "cargo/registry/cache/i/a-1.crate", "cargo/bin/tool", X, "own/x/y"] {
        from.write(path, "x");
    }
    let names =
        ["cargo", "sources", "own/x"].map(|name| kiln::cache::named(&from.lease(), name, "export").unwrap());
    let kept = imported(&to, &archive(&from, &Chosen::Named(names.into()))).unwrap();
    assert_eq!(kept.gains.keys().collect::<Vec<_>>(), ["cargo", "own", "sources"]);
    for (path, there) in [
        ("cargo/registry/cache/i/a-1.crate", true),
        (X, true),
        ("own/x/y", true),
        ("pip", false),
        ("cargo/bin", false),
    ] {
        assert_eq!(to.has(path), there, "{path}");
    }
}

#[test]
fn a_hostile_archive_leaves_nothing() {
    let stays = "stays";
    for (why, upper) in [
        ("\"..\"", Upper::default().file("../x", "x")),
        ("absolute", Upper::default().file("/etc/passwd", "x")),
        ("no directory that came before", Upper::default().symlink("l", "d").file("l/passwd", "x")),
        ("not in the cache", Upper::default().symlink("l", "/etc/shadow")),
        ("not in the cache", Upper::default().symlink("l", "../x")),
        ("not in the cache", Upper::default().symlink("l", "d/../../x")),
        ("not in the cache", Upper::default().symlink("l", "/var/cache/melange/../x")),
        ("character device", Upper::default().whiteout(stays)),
        ("hard link to nothing", Upper::default().hard_link("h", "nothing")),
    ] {
        let bench = Bench::new();
        bench.write(stays, "x");
        let bytes = zstd::encode_all(&upper.end()[..], 1).unwrap();
        let error = import(&bench.lease(), &bytes[..], CommitLimit::default()).unwrap_err();
        assert_eq!(code_of(&error), Code::Cache);
        assert!(format!("{error:#}").contains(why), "{why}: {error:#}");
        assert_eq!(fs::read_dir(bench.cache()).unwrap().count(), 1, "{why}");
    }
    let bench = Bench::new();
    bench.write("d/old", "x");
    // The mark of an overlay is none here.
    imported(
        &bench,
        &zstd::encode_all(&Upper::default().opaque("d/").file("d/new", "x").end()[..], 1).unwrap(),
    );
    assert!(bench.has("d/old") && bench.has("d/new"));
    let whole = archive(&bench, &Chosen::All);
    for cut in [0, 10, whole.len() - 5] {
        assert!(import(&Bench::new().lease(), &whole[..cut], CommitLimit::default()).is_err(), "{cut}");
    }
    // A bomb is over the limit before it is on the disk.
    let bomb = zstd::encode_all(&Upper::default().file("zeros", &"0".repeat(1 << 20)).end()[..], 1).unwrap();
    let limit = CommitLimit { bytes: 1 << 19, entries: 10 };
    assert!(matches!(import(&bench.lease(), &bomb[..], limit).unwrap(), Outcome::TooMuch(_)));
}

#[test]
fn what_an_import_would_not_take_and_what_is_mostly_holes_is_left_out() {
    let (from, to) = (Bench::new(), Bench::new());
    from.write("own/file", "0123456789");
    let own = from.cache().join("own");
    for (name, target) in [
        ("shadow", "/etc/shadow"),
        ("up", "../../x"),
        ("through", "d/../x"),
        ("beside", "../own/file"),
        ("inside", "/var/cache/melange/own/file"),
    ] {
        symlink(target, own.join(name)).unwrap();
    }
    for (name, length) in [("sparse", 1_u64 << 40), ("almost", 1 << 43), ("little", 1 << 20)] {
        let mut file = File::create(own.join(name)).unwrap();
        file.write_all(b"0123456789").unwrap();
        file.set_len(length).unwrap();
    }
    fs::hard_link(own.join("sparse"), own.join("sparse-too")).unwrap();
    let exported = kiln(&from, &["export", "-"]);
    assert!(exported.status.success());
    let said = String::from_utf8_lossy(&exported.stderr);
    assert!(said.contains("and 3 more") && said.contains("the rest is a hole"), "{said}");
    imported(&to, &exported.stdout).unwrap();
    let mut names: Vec<_> = fs::read_dir(to.cache().join("own"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["beside", "file", "inside", "little"]);
    assert_eq!(fs::metadata(to.cache().join("own/little")).unwrap().len(), 1 << 20);
}

fn kiln(bench: &Bench, arguments: &[&str]) -> Output {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.arg("cache").args(arguments).arg("--cache-dir").arg(bench.cache());
    kiln.env("KILN_HOME", bench.home().root()).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_commands_speak_of_files_and_streams() {
    let (from, to) = (Bench::new(), Bench::new());
    from.write("pip/http/a", "x");
    let file = from.cache().with_extension("tar.zst");
    let name = file.to_str().unwrap();
    assert!(kiln(&from, &["export", name]).status.success());
    let streamed = kiln(&from, &["export", "-", "pip"]);
    assert_eq!(streamed.stdout, fs::read(&file).unwrap());
    assert!(kiln(&to, &["import", name]).status.success());
    assert!(to.has("pip/http/a"));

    for (arguments, code) in [
        (&["import", "/none.tar.zst"][..], 7),
        // stdin is empty.
        (&["import", "-"], 7),
        (&["import", name, "--limit", "x"], 2),
        (&["export", "/none/such/x.tar.zst", "nothing"], 2),
    ] {
        assert_eq!(kiln(&to, arguments).status.code(), Some(code), "{arguments:?}");
    }
    let _alone = to.alone();
    assert_eq!(kiln(&to, &["import", name]).status.code(), Some(7));
}
