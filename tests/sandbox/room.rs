//! File systems without room: of the cache, of scratch files, of packages.

use std::fs;

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

use crate::{assert_clean, build, has_bwrap, project, said, scratch, skip};

#[test]
fn a_cache_that_is_full_fails_the_build_and_stays_as_it_was() {
    if !has_bwrap() {
        return;
    }
    if !geteuid().is_root() {
        return skip("only root can mount a small file system");
    }
    let (_directory, project) = project();
    let cache = project.join("cache");
    fs::create_dir(&cache).expect("made");
    // Of this thread and of what it starts: it goes with them.
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .expect("the mount namespace is the test's own");
    mount(Some("none"), &cache, Some("tmpfs"), MsFlags::empty(), Some("size=1m")).expect("mounted");
    fs::write(cache.join("there"), "x").expect("written");
    let step = "echo small > /var/cache/melange/small; head -c 3000000 /dev/zero > /var/cache/melange/large";
    let output = build(&project, "root", &[step], &["--cache-mode", "commit"]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    for part in ["cannot be put into the cache", "No space left on device", "make room on its file system"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    let names: Vec<_> =
        fs::read_dir(&cache).expect("listed").map(|entry| entry.expect("listed").file_name()).collect();
    assert_eq!(names, ["there"]);
    assert_clean(&project);
}

#[test]
fn scratch_files_without_room_are_named_beside_the_step_that_fails() {
    if !has_bwrap() {
        return;
    }
    if !geteuid().is_root() {
        return skip("only root can mount a small file system");
    }
    let (_directory, project) = project();
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .expect("the mount namespace is the test's own");
    mount(Some("none"), &scratch(&project), Some("tmpfs"), MsFlags::empty(), Some("size=1m"))
        .expect("mounted");
    let output = build(&project, "root", &["head -c 3000000 /dev/zero > large"], &[]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let place = scratch(&project).display().to_string();
    for part in [
        "No space left on device",
        "no space is left on the host's file system of",
        &place,
        "QEMU_DISKS_PATH",
    ] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    let output = build(&project, "root", &["exit 3"], &[]);
    assert!(!said(&output).contains("no space is left"), "{}", said(&output));
    assert_clean(&project);
}

#[test]
fn packages_without_room_are_an_error_before_the_first_step() {
    if !has_bwrap() {
        return;
    }
    if !geteuid().is_root() {
        return skip("only root can mount a small file system");
    }
    let (_directory, project) = project();
    let out = project.join("out");
    fs::create_dir(&out).expect("made");
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .expect("the mount namespace is the test's own");
    mount(Some("none"), &out, Some("tmpfs"), MsFlags::empty(), Some("size=65m")).expect("mounted");
    fs::write(out.join("there"), vec![b'x'; 3 << 20]).expect("written");
    // The directory does not exist yet.
    let arguments = ["--out-dir", "out/below/packages"];
    let output = build(&project, "root", &["echo began"], &arguments);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let place = format!("packages need room in {}", out.display());
    for part in [&place, "has 62 MiB left, and a build needs 64 MiB at least", "--out-dir"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    assert!(!said(&output).contains("began"), "{}", said(&output));
    fs::remove_file(out.join("there")).expect("removed");
    let output = build(&project, "root", &["true"], &arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert_clean(&project);
}
