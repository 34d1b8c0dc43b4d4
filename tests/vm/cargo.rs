//! `CARGO_HOME` in a real guest: downloads are the cache's, everything else is the build's own.

use std::{fs, path::Path};

use crate::{kiln, project, said};

/// The effects of `cargo` without its hundreds of megabytes: a download, an installed program, settings, a lock.
const USE: &str = "cd \"$CARGO_HOME\"
for name in bin config.toml credentials.toml .crates.toml leaked; do test ! -e $name || exit 3; done
ls -A registry git
mkdir bin; touch bin/tool config.toml credentials.toml .crates.toml leaked .package-cache
mkdir -p registry/cache git/db 2>/dev/null && echo new > registry/cache/crate && mkdir registry/src || echo read-only";

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("it can be listed")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A cache in which an older build has left what it should not have.
fn poisoned(directory: &Path) {
    let cargo = directory.join("cache/cargo");
    fs::create_dir_all(cargo.join("bin")).expect("made");
    fs::create_dir_all(cargo.join("registry/index")).expect("made");
    fs::write(cargo.join("config.toml"), "[net]\n").expect("written");
}

#[test]
fn installed_programs_and_settings_do_not_outlive_a_build() {
    let cases = [
        ("build", "discard", "0", true),
        ("root", "ro", "0", false),
        ("build", "rw", "1", false),
        ("root", "rw", "1", true),
    ];
    for (run_as, mode, virtiofs, prepared) in cases {
        let directory = project(run_as, &[USE]);
        if prepared {
            poisoned(directory.path());
        }
        let mut command = kiln(directory.path());
        let output = command.args(["--cache-mode", mode]).env("QEMU_USE_VIRTIOFS", virtiofs).output();
        let output = output.expect("kiln can be started");
        let said = said(&output);
        assert!(output.status.success(), "{run_as} {mode} {prepared}: {said}");
        assert_eq!(said.contains("] read-only"), mode == "ro", "{said}");
        assert_eq!(said.contains("] index"), prepared, "{said}");
        let cargo = directory.path().join("cache/cargo");
        match (mode, prepared) {
            ("rw", false) => {
                assert_eq!(names(&cargo), ["git", "registry"]);
                assert_eq!(names(&cargo.join("registry")), [".package-cache", "cache", "src"]);
            }
            ("rw", true) => {
                assert_eq!(names(&cargo), ["bin", "config.toml", "git", "registry"]);
                assert_eq!(names(&cargo.join("bin")), Vec::<String>::new());
            }
            (_, true) => assert_eq!(names(&cargo), ["bin", "config.toml", "registry"]),
            (_, false) => assert!(!cargo.exists(), "nothing is left on the host"),
        }
    }
}
