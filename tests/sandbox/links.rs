//! Links in the cache or the image lead none of the agent's mounts elsewhere.
//!
//! The agent mounts before /proc is masked, with rights that no step has: a step would get whatever a link led it to.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::{assert_clean, build, has_bwrap, project, said};

/// The links that a build left in a cache, and their targets: the /proc of the whole machine, or the agent's own directories.
const OF_A_CACHE: [(&str, &str); 5] = [
    ("cargo/registry", "/proc"),
    ("cargo/git", "../../../../../scratch"),
    ("cargo/git", "registry"),
    ("cargo", "/proc"),
    ("cargo", "/shares/source"),
];

#[test]
fn a_link_in_the_cache_leads_no_mount_elsewhere() {
    if !has_bwrap() {
        return;
    }
    for mode in ["rw", "ro", "discard", "commit"] {
        for (link, target) in OF_A_CACHE {
            let (_directory, project) = project();
            let link = project.join("cache").join(link);
            fs::create_dir_all(link.parent().expect("it has one")).expect("made");
            symlink(target, &link).expect("linked");
            let output = build(&project, "root", &["echo a step runs"], &["--cache-mode", mode]);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(7), "{mode} {target}: {text}");
            assert!(text.contains(&format!("{} is no directory", link.display())), "{text}");
            assert!(!text.contains("] a step runs"), "{mode} {target}: {text}");
            assert_clean(&project);
        }
    }
}

/// An image of these directories and links and nothing else.
fn image(directory: &Path, links: &[(&str, &str)]) -> String {
    let image = directory.join("image");
    for name in ["bin", "etc", "srv", "usr/home"] {
        fs::create_dir_all(image.join(name)).expect("made");
    }
    for (link, target) in links {
        let link = image.join(link);
        fs::create_dir_all(link.parent().expect("it has one")).expect("made");
        if link.is_dir() {
            fs::remove_dir(&link).expect("it is empty");
        }
        symlink(target, &link).expect("linked");
    }
    image.to_string_lossy().into_owned()
}

/// The output of a build in an image with these links. The image has no shell: where its world stands, the step cannot be started.
fn in_image(links: &[(&str, &str)]) -> (Option<i32>, String) {
    let (directory, project) = project();
    let image = image(directory.path(), links);
    let output = {
        let mut command = crate::command(&project, "root", &["true"], &["--image", &image]);
        command.env("KILN_HOME", directory.path().join("home")).args(["--progress", "plain"]);
        command.output().expect("kiln can be started")
    };
    assert_clean(&project);
    (output.status.code(), said(&output))
}

#[test]
fn an_image_whose_own_directories_are_links_has_no_world() {
    if !has_bwrap() {
        return;
    }
    for (name, target) in
        [("proc", "/dev/pts"), ("proc", "tmp"), ("sys", "/dev/mqueue"), ("dev", "/proc"), ("run", "/scratch")]
    {
        let (code, text) = in_image(&[(name, target)]);
        assert_eq!(code, Some(4), "{name} -> {target}: {text}");
        assert!(text.contains(&format!("the image's /{name} is not a directory")), "{text}");
    }
    // Nor is what the agent writes led to where it alone may write.
    for (link, target) in
        [("etc", "/proc/self"), ("etc/group", "/proc/self/comm"), ("etc/passwd", "/dev/null")]
    {
        let (code, text) = in_image(&[(link, target)]);
        assert_eq!(code, Some(4), "{link} -> {target}: {text}");
        assert!(text.contains("is a mount of this build, not the image's"), "{text}");
    }
}

#[test]
fn other_links_of_an_image_lead_within_it() {
    if !has_bwrap() {
        return;
    }
    for links in [
        [("home", "/usr/home"), ("usr/home/x", "y")],
        [("var/cache", "../srv"), ("srv/x", "y")],
        [(".dockerenv", "/proc/self/comm"), ("tmp", "/srv")],
    ] {
        let (code, text) = in_image(&links);
        // The world stands; what is missing is the shell.
        assert_eq!(code, Some(3), "{links:?}: {text}");
        assert!(text.contains("cannot be started"), "{links:?}: {text}");
    }
}
