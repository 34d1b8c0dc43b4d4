//! Leftovers of a build that wrote straight into the cache: rights, devices and other owners are removed when it ends or, if it
//! was killed, when the next lease begins; older files stay as they are.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use kiln::cache::{Lease, LockMode, sweep, verify};
use nix::{
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::geteuid,
};

use crate::{
    cache::{Bench, eventually},
    rights::left,
    skip::skip,
};

/// `CAP_SYS_ADMIN`, permitted and effective (capabilities(7)).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

/// Something that happens to a cache between two leases.
type Happens = fn(&Bench);

fn file(directory: &Path, name: &str, mode: u32) -> PathBuf {
    fs::create_dir_all(directory).unwrap();
    let path = directory.join(name);
    fs::write(&path, "x").unwrap();
    set_mode(&path, mode);
    path
}

/// The leftovers of [`crate::rights::STEP`], and those that only root of the host can make, in each of these directories.
fn plant(cache: &Path) {
    for place in ["", "a/b", ".kiln", ".kiln/0-0-1/tree", "read-only"] {
        let place = cache.join(place);
        for mode in [0o4755, 0o2755, 0o6755, 0o2644, 0o4111, 0o4000] {
            file(&place, &format!("m{mode:o}"), mode);
        }
        fs::hard_link(place.join("m4755"), place.join("hard-link")).unwrap();
        nix::unistd::mkfifo(&place.join("fifo"), Mode::S_IRWXU).unwrap();
        set_mode(&place.join("fifo"), 0o4600);
        for attribute in ["user.overlay.opaque", "user.virtfs.uid"] {
            xattr::set(file(&place, attribute, 0o644), attribute, b"y").unwrap();
        }
        if !geteuid().is_root() {
            continue;
        }
        for (name, kind) in [("char", SFlag::S_IFCHR), ("block", SFlag::S_IFBLK)] {
            mknod(&place.join(name), kind, Mode::S_IRWXU, makedev(1, 11)).unwrap();
        }
        mknod(&place.join("whiteout"), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
        xattr::set(file(&place, "capable", 0o755), "security.capability", &CAPABILITY).unwrap();
        xattr::set(file(&place, "redirect", 0o755), "trusted.overlay.redirect", b"/etc").unwrap();
        let given = file(&place, "given", 0o644);
        chown(&given, Some(12_345), Some(54_321)).unwrap();
        set_mode(&given, 0o4755);
        symlink("/etc/shadow", place.join("link")).unwrap();
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &place.join("link"),
            Some(12_345.into()),
            None,
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
    fs::create_dir(cache.join("set-gid")).unwrap();
    set_mode(&cache.join("set-gid"), 0o2777);
    set_mode(&cache.join("read-only"), 0o555);
    file(&cache.join("unreadable"), "m4755", 0o4755);
    set_mode(&cache.join("unreadable"), 0o011);
    set_mode(cache, 0o6777);
    xattr::set(cache, "user.overlay.opaque", b"y").unwrap();
    if geteuid().is_root() {
        chown(cache, Some(12_345), None).unwrap();
        set_mode(cache, 0o6777);
    }
}

/// All attributes of what is below.
fn attributes(path: &Path, found: &mut Vec<String>) {
    found.extend(xattr::list(path).unwrap().map(|name| name.to_string_lossy().into_owned()));
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| attributes(&entry.unwrap().path(), found));
    }
}

fn is_scrubbed(bench: &Bench) {
    let cache = bench.cache();
    let own = (geteuid().as_raw(), nix::unistd::getegid().as_raw());
    assert_eq!(left(&cache, own), Vec::<String>::new());
    let mut found = Vec::new();
    attributes(&cache, &mut found);
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(mode(&cache), 0o750, "the cache itself is as it was");
    for (name, expected) in [("m4755", 0o755), ("m2644", 0o644), ("a/b/m6755", 0o755), ("read-only/m4000", 0)]
    {
        assert_eq!(mode(&cache.join(name)), expected, "{name}");
    }
    assert_eq!(mode(&cache.join("read-only")), 0o555);
}

fn bench() -> Option<Bench> {
    let bench = Bench::new();
    if xattr::set(bench.cache(), "user.probe", b"").is_err() {
        skip("the file system has no extended attributes of users");
        return None;
    }
    xattr::remove(bench.cache(), "user.probe").unwrap();
    set_mode(&bench.cache(), 0o750);
    Some(bench)
}

fn writers(bench: &Bench) -> Vec<PathBuf> {
    let leases = fs::read_dir(bench.home().dir("leases").unwrap()).unwrap();
    let writers = leases.filter_map(|lease| fs::read_dir(lease.unwrap().path().join("writers")).ok());
    writers.flatten().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_a_build_wrote_keeps_no_rights_and_no_other_owner() {
    let Some(bench) = bench() else { return };
    let lease = bench.alone();
    lease.begin_writes().unwrap();
    plant(&bench.cache());
    let scrubbed = lease.end_writes().unwrap();
    assert!(scrubbed.is_complete(), "{scrubbed:?}");
    is_scrubbed(&bench);
    if geteuid().is_root() {
        let counts = (scrubbed.devices, scrubbed.owners);
        assert_eq!(counts, (15, 10), "{scrubbed:?}");
    }
    assert_eq!(writers(&bench), Vec::<PathBuf>::new());
    assert_eq!(verify(&lease).unwrap().faults.iter().filter(|fault| fault.why.contains("set-id")).count(), 0);
}

#[test]
fn what_was_there_before_stays() {
    let Some(bench) = bench() else { return };
    let cache = bench.cache();
    let old = file(&cache.join("old"), "program", 0o4755);
    let shared = cache.join("shared");
    fs::create_dir(&shared).unwrap();
    set_mode(&shared, 0o2775);
    if geteuid().is_root() {
        chown(file(&cache.join("old"), "others", 0o644), Some(12_345), Some(12_345)).unwrap();
        mknod(&cache.join("old/device"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)).unwrap();
    }
    // The clock of a file system ticks.
    thread::sleep(Duration::from_millis(50));
    let lease = bench.alone();
    lease.begin_writes().unwrap();
    // A directory that a build writes into has changed as well.
    file(&shared, "new", 0o644);
    fs::create_dir(shared.join("below")).unwrap();
    file(&cache.join("old"), "new", 0o644);
    let scrubbed = lease.end_writes().unwrap();
    assert_eq!(scrubbed, kiln::cache::Scrubbed::default());
    assert_eq!((mode(&old), mode(&shared), mode(&shared.join("below")) & 0o2000), (0o4755, 0o2775, 0o2000));
    if geteuid().is_root() {
        assert_eq!(cache.join("old/others").metadata().unwrap().uid(), 12_345);
        assert!(bench.has("old/device"));
    }
}

/// A build that was killed: its lease ends without its writes having ended.
fn killed(bench: &Bench) {
    let lease = bench.alone();
    lease.begin_writes().unwrap();
    plant(&bench.cache());
    drop(lease);
    assert_eq!(writers(bench).len(), 1);
}

#[test]
fn what_a_killed_build_left_the_next_lease_mends_whatever_it_is_for() {
    let damage: [(&str, Happens); 4] = [
        ("as it was", |_| ()),
        ("the power went before the note was on disk", |bench| fs::write(&writers(bench)[0], "").unwrap()),
        ("the note is none", |bench| fs::write(&writers(bench)[0], "{\"since\": 1}").unwrap()),
        ("the device has another number", |bench| {
            bench.renumber();
            eventually(|| sweep(&bench.home()).unwrap() == 1);
        }),
    ];
    for (what, happen) in damage {
        for lock_mode in [LockMode::Shared, LockMode::Exclusive] {
            let Some(bench) = bench() else { return };
            killed(&bench);
            happen(&bench);
            if what.contains("note") {
                // Of the directory itself nothing is known then.
                let own = (geteuid().as_raw(), nix::unistd::getegid().as_raw());
                chown(bench.cache(), Some(own.0), Some(own.1)).unwrap();
                set_mode(&bench.cache(), 0o750);
            }
            let mut lease: Option<Lease> = None;
            eventually(|| {
                lease = bench.try_lease(lock_mode);
                lease.is_some() && writers(&bench).is_empty()
            });
            is_scrubbed(&bench);
        }
    }
}

#[test]
fn beside_another_writer_rights_go_at_once_and_owners_with_the_last() {
    let Some(bench) = bench() else { return };
    let (one, other) = (bench.lease(), bench.lease());
    one.begin_writes().unwrap();
    other.begin_writes().unwrap();
    let cache = bench.cache();
    let program = file(&cache, "program", 0o4755);
    let given = file(&cache, "given", 0o644);
    let is_root = geteuid().is_root();
    if is_root {
        chown(&given, Some(12_345), None).unwrap();
        set_mode(&given, 0o4755);
    }
    let owner = || given.metadata().unwrap().uid();
    let before = owner();
    one.end_writes().unwrap();
    drop(one);
    assert_eq!((mode(&program), mode(&given) & 0o6000, owner()), (0o755, 0, before));
    // A third one that comes meanwhile changes nothing of that.
    drop(bench.lease());
    assert_eq!((owner(), writers(&bench).len()), (before, 2));
    set_mode(&program, 0o4755);
    // A process that another test is just starting may still hold the lock of the first.
    eventually(|| {
        other.end_writes().unwrap();
        owner() == geteuid().as_raw()
    });
    assert_eq!(mode(&program), 0o755);
    drop(other);
    eventually(|| bench.try_lease(LockMode::Exclusive).is_some() && writers(&bench).is_empty());
}

#[test]
fn capabilities_and_what_an_overlay_obeys_are_faults_that_can_be_mended() {
    let Some(bench) = bench() else { return };
    let mut names = vec!["user.overlay.redirect", "user.containers.override_stat"];
    if geteuid().is_root() {
        names.extend(["security.capability", "trusted.overlay.opaque"]);
    }
    for name in &names {
        let path = file(&bench.cache().join("own"), name, 0o755);
        let value = if *name == "security.capability" { &CAPABILITY[..] } else { b"y" };
        xattr::set(&path, OsStr::new(name), value).unwrap();
    }
    xattr::set(bench.cache().join("own"), "user.overlay.opaque", b"y").unwrap();
    let found = verify(&bench.lease()).unwrap();
    assert_eq!(found.faults.len(), names.len() + 1, "{found:?}");
    for name in &names {
        let path = format!("own/{name}");
        let fault = found.faults.iter().find(|fault| fault.path == path.as_bytes()).expect(name);
        assert_eq!(fault.why, format!("it has the extended attribute {name}"));
    }
    assert_eq!(verify(&bench.alone()).unwrap().unrepaired(), 0);
    assert_eq!(verify(&bench.lease()).unwrap().faults, []);
    let mut left = Vec::new();
    attributes(&bench.cache(), &mut left);
    assert_eq!(left, Vec::<String>::new());
    assert!(names.iter().all(|name| bench.has(&format!("own/{name}"))), "the files stay");
}
