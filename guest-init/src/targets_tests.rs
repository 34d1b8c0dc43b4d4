use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
};

use super::*;

/// A root in the making with links in it, and below it a mount that another build has been in.
fn guest() -> (tempfile::TempDir, Targets) {
    let host = tempfile::tempdir().expect("a directory");
    let at = |name: &str| host.path().join(name);
    for directory in ["outside/sys", "root/usr/home", "root/outside", "root/cache/cargo", "root/cache/inside"]
    {
        fs::create_dir_all(at(directory)).expect("made");
    }
    for (link, target) in [
        ("root/home", "/usr/home"),
        ("root/up", "../../outside"),
        ("root/absolute", "/outside"),
        ("root/proc", "/outside"),
        ("root/dangling", "/nowhere"),
        ("root/cache/cargo/registry", "../../../outside"),
        ("root/cache/cargo/git", "../inside"),
        ("root/cache/whole", "cargo"),
    ] {
        symlink(target, at(link)).expect("linked");
    }
    let root = at("root").to_string_lossy().into_owned();
    let mut targets = Targets::new(&[Mount::Pivot { path: root.clone() }]);
    targets.keep(&root).expect("there");
    targets.keep(&format!("{root}/cache")).expect("there");
    (host, targets)
}

fn number(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).expect("there").ino()
}

#[test]
fn a_link_of_the_image_leads_within_the_image() {
    let (host, targets) = guest();
    let at = |name: &str| host.path().join(name);
    let found = |path: &str| targets.directory(&at(path).to_string_lossy());
    for (path, meant) in [
        ("root/home", "root/usr/home"),
        ("root/up", "root/outside"),
        ("root/absolute", "root/outside"),
        ("root/home/build/new", "root/usr/home/build/new"),
        ("root/absolute/sys", "root/outside/sys"),
    ] {
        let there = number(found(path).expect(path).path());
        assert_eq!(there, number(at(meant)), "{path}");
    }
    assert!(found("root/dangling").is_err() && found("root/dangling/x").is_err());
    assert_eq!(fs::read_dir(at("outside")).expect("listed").count(), 1, "something was made outside");
}

#[test]
fn below_a_mount_no_link_is_followed() {
    let (host, targets) = guest();
    let at = |name: &str| host.path().join(name).to_string_lossy().into_owned();
    for name in ["cargo/registry", "cargo/git", "whole", "whole/registry", "cargo/registry/new"] {
        let path = at(&format!("root/cache/{name}"));
        let error = format!("{:#}", targets.directory(&path).map(drop).expect_err(name));
        assert!(error.contains("is not followed"), "{error}");
        assert!(targets.find(&path).is_err() && targets.existing_directory(&path).is_none(), "{name}");
    }
    for name in ["cargo", "inside", "cargo/new/deep"] {
        targets.directory(&at(&format!("root/cache/{name}"))).expect(name);
    }
    // Nor anywhere before there is a root.
    symlink(at("outside"), at("link")).expect("linked");
    assert!(targets.directory(&at("link")).is_err());
}

#[test]
fn links_do_not_lead_around_mounts_on_the_root() {
    let (host, _targets) = guest();
    let root = host.path().join("root");
    let error = format!("{:#}", real_directory(&root, "proc").expect_err("it is a link"));
    assert!(error.contains("/proc is not a directory"), "{error}");
    assert_eq!(real_directory(&root, "run").expect("made"), root.join("run"));
    assert!(fs::symlink_metadata(root.join("run")).expect("there").is_dir());
    directory_within(&root, "absolute").expect("it leads within");
    assert!(directory_within(&root, "dangling").is_err());
}
