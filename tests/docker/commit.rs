//! `--cache-mode commit` in a container: the writes of a build are merged if it succeeds, and dropped otherwise.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::{
    namespace,
    owners::{self, ORDINARY},
    skip::skip,
    world::{Place, daemon, said},
};

/// Adds, changes, renames and deletes; replaces a whole directory, and changes a mode.
const STEP: &str = "cd /var/cache/melange/dir
test \"$(stat -c %u . old whole/a | sort -u)\" = $(id -u)
echo more >> old
rm gone
mv moved elsewhere
rm -r whole && mkdir whole && echo fresh > whole/only
chmod 755 mode
mkdir ../new && echo x > ../new/file && ln ../new/file ../new/hard && ln -s file ../new/link";

fn prepare(place: &Place) {
    for name in ["old", "gone", "moved", "mode", "same", "whole/a", "whole/b"] {
        place.write(&format!("cache/dir/{name}"), &format!("{name}\n"));
    }
}

fn tree(directory: &Path, below: &Path, owner: u32, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(below).unwrap().display().to_string();
        assert_eq!(metadata.uid(), owner, "{name}");
        if metadata.is_dir() {
            tree(&path, below, owner, found);
        } else if metadata.is_symlink() {
            found.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
        } else {
            let mode = metadata.permissions().mode() & 0o777;
            found.push(format!("{name} {mode:o} {}", fs::read_to_string(&path).unwrap().trim_end()));
        }
    }
}

fn cache(place: &Place) -> Vec<String> {
    cache_of(place, nix::unistd::geteuid().as_raw())
}

fn cache_of(place: &Place, owner: u32) -> Vec<String> {
    let (root, mut found) = (place.project().join("cache"), Vec::new());
    tree(&root, &root, owner, &mut found);
    found.sort();
    found
}

#[test]
fn what_a_build_wrote_is_there_when_it_has_succeeded_and_only_then() {
    let Some(_) = daemon() else { return };
    for run_as in ["root", "build"] {
        let place = Place::new();
        prepare(&place);
        let before = cache(&place);
        let failed = place.build(run_as, &[STEP, "exit 3"], &["--cache-mode", "commit"]);
        assert_eq!(failed.status.code(), Some(5), "{}", said(&failed));
        assert_eq!(cache(&place), before);
        let output = place.build(run_as, &[STEP], &["--cache-mode", "commit"]);
        assert!(output.status.success() && said(&output).contains("kept"), "{}", said(&output));
        let expected = [
            "dir/elsewhere 644 moved",
            "dir/mode 755 mode",
            "dir/old 644 old\nmore",
            "dir/same 644 same",
            "dir/whole/only 644 fresh",
            "new/file 644 x",
            "new/hard 644 x",
            "new/link -> file",
        ];
        assert_eq!(cache(&place), expected, "{run_as}: {}", said(&output));
        assert_eq!(place.left(), Vec::<String>::new());
    }
}

#[test]
fn what_is_not_other_than_before_is_not_new() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    prepare(&place);
    let inode = fs::metadata(place.project().join("cache/dir/same")).unwrap().ino();
    let step = "cd /var/cache/melange/dir && cp -p same copy && mv copy same && cat old";
    let output = place.build("build", &[step], &["--cache-mode", "commit"]);
    assert!(output.status.success() && said(&output).contains("nothing new"), "{}", said(&output));
    assert_eq!(fs::metadata(place.project().join("cache/dir/same")).unwrap().ino(), inode);
}

#[test]
fn root_of_a_container_needs_no_copy_of_an_ordinary_users_files() {
    let Some(_) = daemon() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can become another user");
    }
    let place = Place::new();
    prepare(&place);
    let step = "cd /var/cache/melange/dir && stat -c '%n %u' . whole old | tr '\\n' ' '
echo more >> old && rm gone && mv whole/a whole/c && echo x > new";
    let kiln = place.command("root", &[step], &["--cache-mode", "commit"]);
    let output = owners::by_member(&place, &kiln, ORDINARY).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // An overlay shows of a file that it has not copied whose it is below.
    assert!(said(&output).contains(&format!("] . 0 whole 0 old {ORDINARY}")), "{}", said(&output));
    assert!(said(&output).contains("new 19 B (dir 19 B), kept"), "{}", said(&output));
    let expected = [
        "dir/mode 644 mode",
        "dir/moved 644 moved",
        "dir/new 644 x",
        "dir/old 644 old\nmore",
        "dir/same 644 same",
        "dir/whole/b 644 whole/b",
        "dir/whole/c 644 whole/a",
    ];
    assert_eq!(cache_of(&place, ORDINARY), expected);
    assert_eq!(place.left(), Vec::<String>::new());
}

#[test]
fn a_users_steps_see_roots_files_as_theirs_without_a_copy_or_it_is_said() {
    let Some(_) = daemon() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root may translate owners");
    }
    for here in [true, false] {
        let place = Place::new();
        prepare(&place);
        let outside = fs::metadata(place.project().join("cache/dir/old")).unwrap();
        let step = "cd /var/cache/melange/dir && stat -c 'old %u %.9Z' old && echo more >> same";
        let mut kiln = place.command("build", &[step], &["--cache-mode", "commit"]);
        // A daemon in another mount namespace gets nothing translated.
        let output = if here { kiln.output().unwrap() } else { namespace::apart(&place, "", &kiln) };
        assert!(output.status.success() && said(&output).contains("] old 1000 "), "{}", said(&output));
        // A change of owner is a change of the file.
        let unchanged = format!("] old 1000 {}.{:09}\n", outside.ctime(), outside.ctime_nsec());
        let copied = said(&output).contains("has copied the whole cache");
        assert!(said(&output).contains(&unchanged) != copied && (here || copied), "{}", said(&output));
        assert_eq!(fs::read_to_string(place.project().join("cache/dir/same")).unwrap(), "same\nmore\n");
        assert_eq!(place.left(), Vec::<String>::new());
    }
}
