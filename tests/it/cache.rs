//! Commits into a real directory: afterwards the cache has the changes of the stream, and no others.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use kiln::{
    cache::{CommitLimit, Kept, Lease, LockMode, Outcome, Request, commit, finish, stage, try_acquire},
    event::Amount,
    exit::{Code, code_of},
    home::Home,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use tar::{EntryType, Header};

use crate::{skip::skip, wait_until::wait_until};

/// The stream of an upper directory.
#[derive(Default)]
pub(crate) struct Upper {
    stream: Vec<u8>,
    /// Of the extended header of the entry that follows.
    records: Vec<u8>,
}

impl Upper {
    fn raw(mut self, kind: EntryType, path: &str, mode: u32, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        let name = &path[..path.len().min(100)];
        if name != path {
            self = self.record(&[b"path=", path.as_bytes()].concat());
        }
        let records = std::mem::take(&mut self.records);
        if !records.is_empty() {
            self = self.raw(EntryType::XHeader, "pax", 0o644, "", &records);
        }
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        if kind == EntryType::Char {
            header.set_device_major(0).unwrap();
            header.set_device_minor(0).unwrap();
        }
        header.set_cksum();
        self.stream.extend_from_slice(header.as_bytes());
        self.stream.extend_from_slice(content);
        self.stream.resize(self.stream.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn dir(self, path: &str, mode: u32) -> Self {
        self.raw(EntryType::Directory, path, mode, "", b"")
    }

    /// Gives an extended attribute to the entry that follows.
    pub(crate) fn attribute(self, name: &[u8], value: &str) -> Self {
        self.record(&[b"SCHILY.xattr.", name, b"=", value.as_bytes()].concat())
    }

    /// Gives another time to the entry that follows.
    pub(crate) fn changed_at(self, seconds: u64) -> Self {
        self.record(format!("mtime={seconds}").as_bytes())
    }

    /// A record for the entry that follows.
    fn record(mut self, record: &[u8]) -> Self {
        let rest = [b" ", record, b"\n"].concat();
        // The length counts its own digits.
        let length = (rest.len()..).find(|length| length - length.to_string().len() == rest.len()).unwrap();
        self.records.extend([length.to_string().as_bytes(), &rest].concat());
        self
    }

    pub(crate) fn opaque(self, path: &str) -> Self {
        self.attribute(b"trusted.overlay.opaque", "y").dir(path, 0o755)
    }

    /// A file that has more names.
    pub(crate) fn linked(self, path: &str, content: &str) -> Self {
        self.attribute(b"trusted.kiln.linked", "y").file(path, content)
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.raw(EntryType::Regular, path, 0o644, "", content.as_bytes())
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.raw(EntryType::Symlink, path, 0o777, target, b"")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        if target.len() > 100 {
            let record = [b"linkpath=", target.as_bytes()].concat();
            return self.record(&record).raw(EntryType::Link, path, 0o644, "", b"");
        }
        self.raw(EntryType::Link, path, 0o644, target, b"")
    }

    pub(crate) fn whiteout(self, path: &str) -> Self {
        self.raw(EntryType::Char, path, 0, "", b"")
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.stream.resize(self.stream.len() + 1024, 0);
        self.stream
    }
}

/// A cache and a home of kiln.
pub(crate) struct Bench {
    scratch: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("cache")).unwrap();
        Self { scratch }
    }

    pub(crate) fn cache(&self) -> std::path::PathBuf {
        self.scratch.path().join("cache")
    }

    pub(crate) fn home(&self) -> Home {
        Home::at(self.scratch.path().join("home"))
    }

    pub(crate) fn try_lease(&self, lock_mode: LockMode) -> Option<Lease> {
        let request = Request {
            directory: self.cache(),
            lock_mode,
            who: "a test".into(),
            limit: Duration::from_secs(1),
        };
        try_acquire(&self.home(), &request).unwrap()
    }

    /// The lease of all.
    pub(crate) fn alone(&self) -> Lease {
        self.eventual_lease(LockMode::Exclusive)
    }

    pub(crate) fn lease(&self) -> Lease {
        self.eventual_lease(LockMode::Shared)
    }

    /// A process that another test is just starting may still hold a lease that has ended: it has all descriptors until it is
    /// another program.
    fn eventual_lease(&self, lock_mode: LockMode) -> Lease {
        let mut lease = None;
        eventually(|| {
            lease = self.try_lease(lock_mode);
            lease.is_some()
        });
        lease.unwrap()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.cache().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.cache().join(path)).unwrap()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.cache().join(path).symlink_metadata().is_ok()
    }

    /// The state after a start of the host that gave the device of the cache another number.
    pub(crate) fn renumber(&self) {
        let metadata = self.cache().metadata().unwrap();
        let key = |device: u64| format!("{device:x}-{:x}", metadata.ino());
        for directory in ["journals", "leases"] {
            let directory = self.home().dir(directory).unwrap();
            let [new, old] = [metadata.dev(), metadata.dev() + 1].map(|device| directory.join(key(device)));
            fs::rename(new, old).unwrap();
        }
    }

    /// Nothing is left but what was asked for.
    pub(crate) fn is_clean(&self) {
        assert!(!self.has(".kiln"));
        for journal in fs::read_dir(self.scratch.path().join("home/journals")).unwrap().flatten() {
            assert_eq!(fs::read_dir(journal.path()).unwrap().count(), 0);
        }
    }
}

/// Waits for what other tests may delay.
pub(crate) fn eventually(happens: impl FnMut() -> bool) {
    assert!(wait_until(happens), "it never happens");
}

pub(crate) fn committed(lease: &Lease, upper: &[u8]) -> Kept {
    match stage(lease, upper, CommitLimit::default()).unwrap() {
        Outcome::Staged(staged) => commit(lease, *staged, lease.lock_commits().unwrap()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

#[test]
fn all_kinds_of_entries_arrive_as_they_were() {
    let bench = Bench::new();
    bench.write("pip/old", "old");
    let upper = Upper::default()
        .dir("gomodcache/", 0o755)
        .dir("gomodcache/m@v1/", 0o555)
        .raw(EntryType::Regular, "gomodcache/m@v1/a.go", 0o4444, "", b"package m")
        .hard_link("gomodcache/m@v1/b.go", "gomodcache/m@v1/a.go")
        .dir("gomodcache/m@v1/sub/", 0o555)
        .file("gomodcache/m@v1/sub/c.go", "package sub")
        .dir("pip/", 0o755)
        .file("pip/new", "new")
        .raw(EntryType::Fifo, "pip/fifo", 0o644, "", b"")
        .dir("uv/", 0o755)
        .symlink("uv/link", "../../etc/passwd")
        .dir("uv/empty/", 0o700)
        .end();
    let kept = committed(&bench.lease(), &upper);
    assert_eq!(kept.waiting, 0);
    assert_eq!(kept.gains["pip"], Amount { entries: 1, bytes: 3 });
    let module = bench.cache().join("gomodcache/m@v1");
    assert_eq!((mode(&module), mode(&module.join("sub"))), (0o555, 0o555));
    assert_eq!(mode(&module.join("a.go")), 0o444, "no set-id bit is kept");
    assert_eq!(module.join("a.go").metadata().unwrap().mtime(), 1_000_000_000);
    assert_eq!(module.metadata().unwrap().mtime(), 1_000_000_000);
    assert_eq!(module.join("a.go").metadata().unwrap().ino(), module.join("b.go").metadata().unwrap().ino());
    assert_eq!(fs::read_link(bench.cache().join("uv/link")).unwrap(), Path::new("../../etc/passwd"));
    assert!(bench.has("uv/empty") && !bench.has("pip/fifo"));
    assert_eq!((bench.read("pip/old"), bench.read("pip/new")), ("old".into(), "new".into()));
    bench.is_clean();
}

#[test]
fn an_unchanged_copy_is_no_change() {
    let bench = Bench::new();
    let upper =
        || Upper::default().dir("composer/", 0o755).file("composer/x.zip", "zip").symlink("composer/l", "x");
    committed(&bench.lease(), &upper().end());
    let before = bench.cache().join("composer/x.zip").metadata().unwrap();
    let again = stage(&bench.lease(), &upper().end()[..], CommitLimit::default()).unwrap();
    assert!(matches!(again, Outcome::Unchanged(_)), "{again:?}");
    committed(&bench.lease(), &upper().file("composer/y", "y").end());
    let after = bench.cache().join("composer/x.zip").metadata().unwrap();
    assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
    bench.is_clean();
}

#[test]
fn whiteouts_remove_even_when_all_are_links_of_one_inode() {
    let bench = Bench::new();
    for path in ["go/a", "go/tree/x/y", "go/b", "stays"] {
        bench.write(path, "1");
    }
    fs::set_permissions(bench.cache().join("go/tree/x"), fs::Permissions::from_mode(0o555)).unwrap();
    let upper = Upper::default()
        .dir("go/", 0o755)
        .whiteout("go/a")
        .hard_link("go/b", "go/a")
        .hard_link("go/none", "go/a")
        .hard_link("go/tree", "go/a")
        .end();
    assert_eq!(committed(&bench.lease(), &upper).waiting, 0);
    assert!(bench.has("go") && bench.has("stays"));
    for path in ["go/a", "go/b", "go/tree"] {
        assert!(!bench.has(path), "{path}");
    }
    bench.is_clean();
}

#[test]
fn an_opaque_directory_hides_what_was_there() {
    let bench = Bench::new();
    bench.write("d/old/x", "1");
    bench.write("d/both", "1");
    committed(&bench.lease(), &Upper::default().opaque("d/").file("d/both", "2").dir("d/new/", 0o755).end());
    assert!(!bench.has("d/old") && bench.has("d/new"));
    assert_eq!(bench.read("d/both"), "2");
    bench.is_clean();
}

#[test]
fn kinds_may_change_and_no_link_is_followed() {
    let bench = Bench::new();
    bench.write("a/file", "1");
    bench.write("a/dir/x", "1");
    fs::write(bench.scratch.path().join("outside"), "1").unwrap();
    symlink("../../outside", bench.cache().join("a/link")).unwrap();
    symlink("..", bench.cache().join("up")).unwrap();
    let upper = Upper::default()
        .dir("a/", 0o755)
        .file("a/dir", "a file now")
        .dir("a/file/", 0o755)
        .file("a/file/x", "a directory now")
        .file("a/link", "a file now")
        .dir("up/", 0o755)
        .file("up/outside", "in the cache")
        .end();
    committed(&bench.lease(), &upper);
    assert_eq!(bench.read("a/dir"), "a file now");
    assert_eq!(bench.read("a/file/x"), "a directory now");
    assert_eq!(bench.read("a/link"), "a file now");
    assert_eq!(bench.read("up/outside"), "in the cache");
    assert_eq!(fs::read_to_string(bench.scratch.path().join("outside")).unwrap(), "1");
    bench.is_clean();
}

#[test]
fn what_another_build_may_be_reading_waits_for_it() {
    let bench = Bench::new();
    bench.write("x/replaced", "old");
    bench.write("x/deleted", "old");
    let (reader, writer) = (bench.lease(), bench.lease());
    let upper = Upper::default()
        .dir("x/", 0o755)
        .whiteout("x/deleted")
        .file("x/new", "new")
        .file("x/replaced", "new");
    assert_eq!(committed(&writer, &upper.end()).waiting, 2);
    assert_eq!((bench.read("x/replaced"), bench.read("x/new")), ("old".into(), "new".into()));
    assert!(bench.has("x/deleted"));
    drop(writer);
    finish(&reader).unwrap();
    assert_eq!(bench.read("x/replaced"), "new");
    assert!(!bench.has("x/deleted"));
    drop(reader);
    bench.is_clean();
}

#[test]
fn what_only_waits_for_others_is_not_gone_through_by_each_build_that_comes() {
    let bench = Bench::new();
    bench.write("replaced", "old");
    let (reader, writer) = (bench.lease(), bench.lease());
    assert_eq!(committed(&writer, &Upper::default().file("replaced", "new").end()).waiting, 1);
    // Removed without a lease: a build that applied the waiting commit would put the file back.
    fs::remove_file(bench.cache().join("replaced")).unwrap();
    let later = bench.lease();
    assert!(!bench.has("replaced"));
    assert_eq!(committed(&later, &Upper::default().file("other", "1").end()).waiting, 1);
    assert!(!bench.has("replaced") && bench.has("other"));
    drop((reader, writer, later));
    drop(bench.alone());
    assert_eq!(bench.read("replaced"), "new");
    bench.is_clean();
}

/// A cache in which the replacement and the deletion of two files are decided, and have waited for a build that was killed.
pub(crate) fn waiting() -> Bench {
    let bench = Bench::new();
    bench.write("replaced", "old");
    bench.write("deleted", "old");
    let (_reader, writer) = (bench.lease(), bench.lease());
    let upper = Upper::default().whiteout("deleted").file("replaced", "new");
    assert_eq!(committed(&writer, &upper.end()).waiting, 2);
    bench
}

#[test]
fn what_was_decided_is_done_when_the_device_has_another_number() {
    let bench = waiting();
    bench.renumber();
    drop(bench.alone());
    assert_eq!((bench.read("replaced"), bench.has("deleted")), ("new".into(), false));
    bench.is_clean();
    assert_eq!(fs::read_dir(bench.home().dir("leases").unwrap()).unwrap().count(), 1);
}

#[test]
fn what_a_recovery_has_put_there_its_build_has_seen() {
    let bench = waiting();
    let lease = bench.alone();
    assert_eq!(bench.read("replaced"), "new");
    committed(&lease, &Upper::default().whiteout("replaced").end());
    assert!(!bench.has("replaced"));
    drop(lease);
    bench.is_clean();
}

#[test]
fn what_another_commit_has_put_there_meanwhile_is_not_lost() {
    let bench = Bench::new();
    bench.write("d/seen", "1");
    let (one, other) = (bench.lease(), bench.lease());
    let wheels = || Upper::default().dir("pip/", 0o755).dir("pip/wheels/", 0o755);
    let first = wheels().file("pip/wheels/w", "first").dir("d/", 0o755).file("d/unseen", "1");
    committed(&other, &first.file("list", "first").end());
    drop(other);
    let upper = wheels().file("pip/wheels/w", "second").whiteout("d").file("list", "second");
    committed(&one, &upper.end());
    drop(one);
    assert!(!bench.has("d/seen") && bench.has("d/unseen"));
    assert_eq!((bench.read("pip/wheels/w"), bench.read("list")), ("first".into(), "second".into()));
    bench.is_clean();
}

#[test]
fn what_was_staged_before_a_build_began_and_put_there_after_it_is_not_lost() {
    let bench = Bench::new();
    let content = "composer/files/00";
    bench.write("d/seen", "1");
    let one = bench.lease();
    let upper = Upper::default()
        .dir("d/", 0o755)
        .dir("d/new/", 0o555)
        .dir("d/new/deep/", 0o755)
        .file("d/new/deep/unseen", "1")
        .symlink("d/new/link", "nowhere")
        .dir("composer/", 0o755)
        .dir("composer/files/", 0o755)
        .file(content, "first");
    let Outcome::Staged(staged) = stage(&one, &upper.end()[..], CommitLimit::default()).unwrap() else {
        panic!("there is something new")
    };
    let other = bench.lease();
    commit(&one, *staged, one.lock_commits().unwrap()).unwrap();
    drop(one);
    let upper = Upper::default()
        .whiteout("d")
        .dir("composer/", 0o755)
        .dir("composer/files/", 0o755)
        .file(content, "second");
    committed(&other, &upper.end());
    drop(other);
    assert!(!bench.has("d/seen") && bench.has("d/new/deep/unseen") && bench.has("d/new/link"));
    assert_eq!(bench.read(content), "first");
    assert_eq!(bench.cache().join(content).metadata().unwrap().mtime(), 1_000_000_000);
    bench.is_clean();
}

#[test]
fn what_is_refused_leaves_nothing() {
    let bench = Bench::new();
    let deep = "d/".repeat(40);
    let streams = [
        ("absolute", Upper::default().file("/etc/passwd", "x").end()),
        ("\"..\"", Upper::default().file("../x", "x").end()),
        ("no directory that came before", Upper::default().symlink("l", "/etc").file("l/passwd", "x").end()),
        ("no directory that came before", Upper::default().file(&format!("{deep}x"), "x").end()),
        ("hard link to nothing", Upper::default().hard_link("h", "nothing").end()),
        ("character device", Upper::default().raw(EntryType::Block, "b", 0o644, "", b"").end()),
        ("cut off", Upper::default().file("x", "x").stream),
    ];
    for (why, stream) in streams {
        let error = stage(&bench.lease(), &stream[..], CommitLimit::default()).unwrap_err();
        assert_eq!(code_of(&error), Code::Cache, "{error:#}");
        assert!(format!("{error:#}").contains(why) || why == "character device", "{why}: {error:#}");
        assert_eq!(fs::read_dir(bench.cache()).unwrap().count(), 0, "{why}");
    }
    let twice = Upper::default().file("x", "1").file("x", "2").end();
    assert!(stage(&bench.lease(), &twice[..], CommitLimit::default()).is_err());
    let much = Upper::default().file("x", "1").file("y", "2").end();
    for limit in [CommitLimit { entries: 1, ..CommitLimit::default() }, CommitLimit { bytes: 1, entries: 9 }]
    {
        let outcome = stage(&bench.lease(), &much[..], limit).unwrap();
        assert!(matches!(outcome, Outcome::TooMuch(_)), "{outcome:?}");
    }
    assert_eq!(fs::read_dir(bench.cache()).unwrap().count(), 0);
}

#[test]
fn leases_exclude_each_other_as_asked() {
    let bench = Bench::new();
    let (first, second) = (bench.lease(), bench.lease());
    assert!(bench.try_lease(LockMode::Exclusive).is_none());
    drop((first, second));
    let alone = bench.try_lease(LockMode::Exclusive).unwrap();
    assert!(bench.try_lease(LockMode::Shared).is_none());
    let held_by_a_daemon = alone.share().unwrap();
    drop(alone);
    assert!(bench.try_lease(LockMode::Shared).is_none());
    drop(held_by_a_daemon);
    assert!(bench.try_lease(LockMode::Shared).is_some());
}

#[test]
fn what_lies_in_another_mount_is_refused_before_anything_is_decided() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can mount something below a cache");
    }
    let bench = Bench::new();
    for path in ["pip/volume", "pip/beside"] {
        fs::create_dir_all(bench.cache().join(path)).unwrap();
    }
    // Of this thread alone: it goes with it.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    // Another mount of the same file system.
    let volume = bench.cache().join("pip/volume");
    mount(Some(&volume), &volume, none, MsFlags::MS_BIND, none).unwrap();
    let pip = || Upper::default().dir("pip/", 0o755);
    for upper in [
        pip().dir("pip/volume/", 0o755).file("pip/volume/x", "x"),
        pip().whiteout("pip/volume"),
        Upper::default().whiteout("pip"),
        Upper::default().opaque("pip/"),
    ] {
        let error = stage(&bench.lease(), &upper.end()[..], CommitLimit::default()).unwrap_err();
        assert_eq!(code_of(&error), Code::Cache, "{error:#}");
        assert!(format!("{error:#}").contains("\"pip/volume\" in it is a mount of its own"), "{error:#}");
        bench.is_clean();
    }
    let beside = pip().dir("pip/volume/", 0o755).dir("pip/beside/", 0o755).file("pip/beside/x", "x");
    committed(&bench.lease(), &beside.end());
    assert_eq!(bench.read("pip/beside/x"), "x");
    bench.is_clean();
}
