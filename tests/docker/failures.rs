//! The cause of a failed step in the error.

use std::{fs, path::PathBuf};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::geteuid,
};

use crate::{
    skip::skip,
    step_cause,
    world::{Place, daemon, said},
};

#[test]
fn an_error_says_why_a_step_failed() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    for case in &step_cause::CASES {
        let output = place.build("root", &[case.script], case.arguments);
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        step_cause::check(case, &said(&output));
    }
    assert_eq!(place.left(), Vec::<String>::new());
}

#[test]
fn a_step_without_memory_is_told_the_limit_and_what_raises_it() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    place.head("  resources: {memory: 64Mi}\n");
    let output = place.build("root", &["true", step_cause::EAT], &["--memory", "1Gi"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    for part in [
        "status 137",
        "the kernel ended one of its processes for want of memory: this build has 64 MiB",
        "way out: raise package.resources.memory\n",
    ] {
        assert!(step_cause::error_of(&text).contains(part), "{part}: {text}");
    }
    assert_eq!(place.left(), Vec::<String>::new());
}

/// A small file system that the daemon sees, too; gone when dropped.
struct Small(PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        // Best effort: a directory of a test is left.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_file_system_of_the_host_is_named() {
    let Some(_) = daemon() else { return };
    if !geteuid().is_root() {
        return skip("only root can mount a small file system");
    }
    let place = Place::new();
    let small = Small(place.project().join("cache"));
    fs::create_dir(&small.0).unwrap();
    mount(Some("none"), &small.0, Some("tmpfs"), MsFlags::empty(), Some("size=1m")).unwrap();
    let output = place.build("root", &["head -c 3000000 /dev/zero > /var/cache/melange/large"], &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    let named = format!("no space is left on the host's file system of {}, the cache", small.0.display());
    assert!(text.contains(&named) && text.contains("kiln cache prune"), "{text}");
    let other = place.build("root", &["exit 3"], &["--cache-mode", "discard"]);
    assert!(!said(&other).contains("no space is left"), "{}", said(&other));
}
