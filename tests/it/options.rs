//! Wrong options are found before a program starts: on a machine without QEMU, which is missed only later.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, SystemTime},
};

use crate::errors::Bare;

#[test]
fn contradictions_and_unusable_places_are_found_before_the_host_is_asked() {
    let bare = Bare::new();
    fs::write(bare.at("project/file"), "").unwrap();
    symlink("nowhere", bare.at("project/dangling")).unwrap();
    let table: &[(&[&str], i32, &str)] = &[
        (
            &["--cache-mode", "commit", "--cache-dir", ""],
            2,
            "error: --cache-mode is given, and --cache-dir \"\" says that there is no cache\n",
        ),
        (&["--cache-sharing", "locked", "--cache-dir", ""], 2, "error: --cache-sharing is given, and "),
        (&["--cache-dir", "."], 2, "error: --cache-dir: ROOT/project is the source directory itself\n"),
        (&["--cache-dir=~/cache"], 2, "error: --cache-dir: ~/cache begins with `~`, "),
        (
            &["--cache-dir", "dangling"],
            7,
            "error: --cache-dir: ROOT/project/dangling is a symbolic link that leads nowhere\n",
        ),
        (&["--pipeline-dir", "absent"], 2, "error: --pipeline-dir: absent is not a directory\n"),
        (&["--pipeline-dirs", ".,file"], 2, "error: --pipeline-dir: file is not a directory\n"),
        (&["--virtiofsd", "spawned", "--runner", "docker"], 2, "error: --virtiofsd is for microVMs, "),
        (&["--source-share", "9p", "--runner", "docker"], 2, "error: --source-share is for microVMs, "),
        (&["--accel", "tcg", "--runner", "bubblewrap"], 2, "error: --accel is for microVMs, "),
        (&["--cpumodel", "max", "--runner", "docker"], 2, "error: --cpumodel is for microVMs, "),
        (&["--out-dir", "file"], 4, "error: write packages to ROOT/project/file: not a directory\n"),
        (&["--out-dir", "file/below/it"], 4, "error: write packages to ROOT/project/file: not a directory\n"),
        (
            &["--memory", "64Mi"],
            2,
            "error: --memory: 64Mi is too little: a build starts with 128Mi at least\n",
        ),
        (&["--memory", "much"], 2, "error: --memory: \"much\" is not a size\n"),
        (&["--disk", "1Mi"], 2, "error: --disk: 1Mi is too little: a build starts with 64Mi at least\n"),
        (&["--cpu", "many"], 2, "error: --cpu: \"many\" is not a number of processors\n"),
        (&["--image", "debian:"], 2, "error: "),
        (&["--source-dir", "file"], 2, "error: --source-dir: file is not a directory\n"),
        (&["--secret", "id=a,src=absent"], 4, "error: --secret id=a: absent cannot be read: "),
    ];
    for (arguments, code, begin) in table {
        let arguments = [&["build", "file.yaml"], *arguments].concat();
        let said = bare.error_of(bare.kiln(&arguments), *code);
        assert!(said.starts_with(begin), "{arguments:?}: {said}");
        assert!(said.contains("\nway out: "), "{arguments:?}: {said}");
    }
    let left: Vec<_> =
        fs::read_dir(bare.at("project")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn an_empty_store_and_a_missing_cache_are_told_in_words() {
    let bare = Bare::new();
    for (line, text) in [
        ("cache list", "no build has used a cache yet\n"),
        ("image ls", "the store has no images\n"),
        ("image list", "the store has no images\n"),
        ("image list --json", "[]\n"),
        ("image prune", "there are no images to remove\n"),
    ] {
        let output = bare.kiln(&line.split(' ').collect::<Vec<_>>()).output().unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(0), text.into()), "{line}");
    }
    let said = bare.said(&bare.kiln(&["cache", "report"]).output().unwrap(), 7);
    assert_eq!(said, "kiln: there is no cache ./melange-cache/\n  name it with --cache-dir\n");
}

/// A build waits for another that has the cache; what is wrong with its own command line is not waited for.
#[test]
fn a_wait_for_the_cache_comes_after_all_that_can_be_refused() {
    let bare = Bare::new();
    let cache = bare.at("cache");
    fs::create_dir(&cache).unwrap();
    let request = kiln::cache::Request {
        directory: cache,
        lock_mode: kiln::cache::LockMode::Exclusive,
        who: "another".into(),
        limit: Duration::ZERO,
    };
    let home = kiln::home::Home::at(bare.at("home"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held = runtime.block_on(kiln::cache::acquire(&home, request, &mut |_| {})).unwrap();
    for (option, value, code) in [
        ("--memory", "much", 2),
        ("--image", "debian:", 2),
        ("--secret", "id=a,src=absent", 4),
        ("--cpu", "0", 2),
    ] {
        let arguments =
            ["build", "--cache-dir", "../cache", "--cache-wait", "1h", option, value, "file.yaml"];
        let said = bare.error_of(bare.kiln(&arguments), code);
        assert!(said.starts_with("error: "), "{said}");
    }
    drop(held);
}

/// Packages that a list says Debian has, in the form in which kiln keeps it.
fn list(bare: &Bare, names: &[&str], age: Duration) {
    let mut names = names.to_vec();
    names.sort_unstable();
    let path = bare.write("home/packages/bookworm-amd64", format!("kiln packages 1\n{}\n", names.join("\n")));
    fs::File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

const PACKAGES: &str = "package: {name: sample, version: '1', epoch: 0}
environment:
  contents:
    packages:
      - build-base
      - jq
      - py3-pyyaml
pipeline:
  - uses: go/build
    with: {packages: ., output: x}
";

/// There is neither mmdebstrap nor apt here: that nothing was begun shows in what is not said of them.
#[test]
fn a_package_that_debian_does_not_have_is_found_before_a_root_is_made() {
    let bare = Bare::new();
    if !bare.real("bwrap") {
        return;
    }
    bare.write("project/file.yaml", PACKAGES);
    let known = ["build-essential", "git", "jq", "python3-yaml", "golang-go", "ca-certificates", "busybox"];
    let without = |gone: &[&str]| {
        let mut names: Vec<&str> = known.iter().filter(|name| !gone.contains(name)).copied().collect();
        names.extend(["jqq", "python3-yamlish"]);
        list(&bare, &names, Duration::ZERO);
    };
    let build = ["build", "--runner", "bubblewrap", "--cache-dir", "", "file.yaml"];
    without(&["jq", "python3-yaml", "golang-go"]);
    let said = bare.error_of(bare.kiln(&build), 3);
    for part in [
        "file.yaml:6:9: Debian bookworm has no package `jq`\n",
        "did you mean `jqq`? Otherwise leave it out, ",
        "file.yaml:7:9: Debian bookworm has no package `python3-yaml`, which stands for `py3-pyyaml`\n",
        "the pipeline `go/build` needs the package `go`: Debian bookworm has no package `golang-go`",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // A package of the command line has no place in a file.
    without(&[]);
    let with = |image| [&build[..], &["--image", image]].concat();
    let said = bare.error_of(bare.kiln(&with("debian:bookworm+build-essentials,nosuch")), 2);
    let expected = "error: --image: Debian bookworm has no package build-essentials, nosuch\n\
                    way out: did you mean `build-essential`? Otherwise name one of Debian's packages\n";
    assert_eq!(said, expected);
    for (arguments, code) in [
        (&["image", "build", "debian:bookworm+nosuch"][..], 2),
        (&["run", "--runner", "bubblewrap", "--image", "debian:bookworm+nosuch", "--", "true"], 125),
    ] {
        let said = bare.said(&bare.kiln(arguments).output().unwrap(), code);
        assert!(said.contains("--image: Debian bookworm has no package nosuch"), "{said}");
    }
}

#[test]
fn without_the_list_of_packages_the_image_build_finds_a_missing_one() {
    let bare = Bare::new();
    if !bare.real("bwrap") {
        return;
    }
    bare.write("project/file.yaml", PACKAGES);
    let build = ["build", "--runner", "bubblewrap", "--cache-dir", "", "file.yaml"];
    // Without a list, with one that is too old to be believed in what it lacks, and with one that is damaged.
    for prepare in [
        |_: &Bare| {},
        |bare: &Bare| list(bare, &["build-essential"], Duration::from_secs(7200)),
        |bare: &Bare| drop(bare.write("home/packages/bookworm-amd64", "\0")),
    ] {
        prepare(&bare);
        let said = bare.error_of(bare.kiln(&build), 4);
        assert!(!said.contains("has no package") && said.contains("is not installed"), "{said}");
    }
}
