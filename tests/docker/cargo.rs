//! `CARGO_HOME` in a container: downloads are the cache's, everything else is the build's own, in every mode.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::world::{Place, daemon, said};

/// The effects of `cargo` without its hundreds of megabytes: a download, an installed program, settings, a lock.
const USE: &str = "cd \"$CARGO_HOME\"
for name in bin config.toml credentials.toml .crates.toml leaked; do test ! -e $name || exit 3; done
echo has $(ls registry git)
mkdir bin; touch bin/tool config.toml credentials.toml .crates.toml leaked
echo lock > .package-cache
test $(stat -c %u .) = $(id -u)
mkdir -p registry/cache 2>/dev/null && echo new > registry/cache/crate || echo read-only";

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn installed_programs_and_settings_do_not_outlive_a_build() {
    let Some(_) = daemon() else { return };
    for (run_as, mode, poisoned) in [
        ("build", "rw", false),
        ("root", "rw", true),
        ("build", "ro", false),
        ("root", "ro", true),
        ("build", "commit", true),
    ] {
        let place = Place::new();
        fs::create_dir(place.project().join("cache")).unwrap();
        if poisoned {
            place.write("cache/cargo/bin/old", "");
            place.write("cache/cargo/config.toml", "");
            place.write("cache/cargo/registry/index/there", "");
        }
        let output = place.build(run_as, &[USE], &["--cache-mode", mode]);
        let case = format!("{run_as} {mode} {poisoned}: {}", said(&output));
        assert!(output.status.success(), "{case}");
        assert_eq!(said(&output).contains("] read-only"), mode == "ro", "{case}");
        let seen = if poisoned { "has git: registry: index" } else { "has git: registry:" };
        assert!(said(&output).contains(seen), "{case}");
        let cargo = place.project().join("cache/cargo");
        let expected: &[&str] = match (mode, poisoned) {
            ("rw" | "commit", false) => &["registry"],
            (_, true) => &["bin", "config.toml", "registry"],
            (_, false) => &[],
        };
        assert_eq!(if cargo.exists() { names(&cargo) } else { Vec::new() }, expected, "{case}");
        let downloaded = fs::read_to_string(cargo.join("registry/cache/crate"));
        assert_eq!(downloaded.is_ok(), matches!(mode, "rw" | "commit"), "{case}");
        // Builds that write to one directory meet at its locks.
        assert_eq!(cargo.join("registry/.package-cache").exists(), mode == "rw", "{case}");
        assert_eq!(place.left(), Vec::<String>::new());
    }
}

#[test]
fn a_link_in_the_place_of_cargos_directory_leads_nowhere() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    fs::create_dir(place.project().join("cache")).unwrap();
    symlink("/etc", place.project().join("cache/cargo")).unwrap();
    let output = place.build("root", &["true"], &[]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    assert!(
        said(&output).contains("cache/cargo is no directory")
            && said(&output).contains("--repair removes it"),
        "{}",
        said(&output)
    );
    assert!(!Path::new("/etc/registry").exists());
}
