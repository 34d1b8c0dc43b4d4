//! kiln in another mount namespace than the daemon, as in a service with a private `/tmp`.

use std::{
    fs,
    process::{Command, Output},
};

use crate::{
    owners::{self, ORDINARY},
    skip::skip,
    world::{Place, daemon, said},
};

/// Writes what lies on each mount of the cache.
const WRITE: &str = "echo x > /var/cache/melange/top; echo x > /var/cache/melange/cargo/registry/crate";

/// Runs a command in a mount namespace of its own, after a script.
pub(crate) fn apart(place: &Place, script: &str, kiln: &Command) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", &format!("{script}\nexec \"$@\""), "sh"]);
    command.arg(kiln.get_program()).args(kiln.get_args());
    command.current_dir(place.project()).env("KILN_HOME", place.home()).output().unwrap()
}

#[test]
fn a_mount_namespace_of_its_own_is_no_hindrance_where_files_are_the_same() {
    let Some(_) = daemon() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can make a mount namespace");
    }
    let place = Place::new();
    let output = apart(&place, "", &place.command("root", &[WRITE], &["--cache-mode", "rw"]));
    assert!(output.status.success(), "{}", said(&output));
    for path in ["top", "cargo/registry/crate"] {
        assert_eq!(fs::read_to_string(place.project().join("cache").join(path)).unwrap(), "x\n");
    }
    // The daemon would find an empty directory, and a build would write into that.
    for mode in ["rw", "commit"] {
        let hide = "mkdir -p cache && mount -t tmpfs none cache && touch cache/only-here";
        let output = apart(&place, hide, &place.command("root", &[WRITE], &["--cache-mode", mode]));
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        assert!(said(&output).contains("is another file or missing"), "{}", said(&output));
    }
    assert_eq!(place.left(), Vec::<String>::new());
}

#[test]
fn who_may_not_look_at_the_daemon_is_told_what_stands_in_the_way() {
    let Some(_) = daemon() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can make a mount namespace");
    }
    let place = Place::new();
    let kiln = place.command("root", &[WRITE], &["--cache-mode", "rw"]);
    let output = apart(&place, "", &owners::by_member(&place, &kiln, ORDINARY));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(
        said(&output).contains("the daemon is in another mount namespace than kiln"),
        "{}",
        said(&output)
    );
    assert_eq!(place.left(), Vec::<String>::new());
}
