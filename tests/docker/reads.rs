//! The part of the cache that a container has used: counted by kiln from outside, or a reason why it is unknown.

use std::process::{Command, Output};

use crate::{
    owners::{self, ORDINARY},
    reuse,
    skip::skip,
    world::{Place, daemon, said},
};

/// Reads of each mount of the cache, twice, in a process that outlives its step, and what was there but is not read.
const READ: &str = "cd /var/cache/melange
cat pip/used pip/used cargo/registry/used top > /dev/null
ls -lR . > /dev/null";

/// Reads of files that the step itself made or changed do not count.
const WRITE: &str = "echo more >> pip/changed; echo new > pip/new; cat pip/changed pip/new > /dev/null";

fn filled() -> Place {
    let place = Place::new();
    for (path, size) in
        [("pip/used", 1000), ("pip/unused", 1), ("pip/changed", 1), ("cargo/registry/used", 20), ("top", 3)]
    {
        place.write(&format!("cache/{path}"), &"x".repeat(size));
    }
    place
}

/// The report on the cache.
fn report(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", said(output));
    let events = String::from_utf8(output.stdout.clone()).unwrap();
    let mut events = events.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.find(|event| event["event"] == "cache").unwrap()
}

fn assert_unknown(output: &Output, why: &str) {
    let report = report(output);
    let said = report["reused_why"].as_str().unwrap();
    assert!(said.contains(why), "{report}");
    assert_eq!(report["directories"][0]["reused"], serde_json::Value::Null, "{report}");
}

#[test]
fn what_steps_read_is_counted_in_all_modes_and_nothing_else_is() {
    let Some(_) = daemon() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root may be told of reads");
    }
    for (run_as, mode) in [
        ("root", "rw"),
        ("root", "ro"),
        ("root", "discard"),
        ("root", "commit"),
        ("build", "rw"),
        ("build", "commit"),
    ] {
        let place = filled();
        let step = if mode == "ro" { READ.to_owned() } else { format!("{READ}\n{WRITE}") };
        let output = place.build(run_as, &[&step], &["--cache-mode", mode, "--progress", "json"]);
        let report = report(&output);
        assert_eq!(report["reused_why"], serde_json::Value::Null, "{run_as} {mode}: {report}");
        let rows = report["directories"].as_array().unwrap();
        let used: Vec<_> = rows
            .iter()
            .map(|row| {
                let amount = |what: &str| row["reused"][what].as_u64().unwrap();
                (row["name"].as_str().unwrap(), amount("entries"), amount("bytes"))
            })
            .filter(|(_, entries, _)| *entries > 0)
            .collect();
        assert_eq!(used, [(".", 1, 3), ("cargo", 1, 20), ("pip", 1, 1000)], "{run_as} {mode}");
        assert_eq!(place.left(), Vec::<String>::new());
    }
}

#[test]
fn what_is_used_is_what_was_opened_in_every_build() {
    let Some(_) = daemon() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root may be told of reads");
    }
    for (mode, step) in
        [("rw", reuse::STEP), ("discard", reuse::STEP), ("commit", reuse::STEP), ("ro", reuse::STEP_RO)]
    {
        for run_as in ["root", "build", "root"] {
            reuse::is_counted(&format!("{mode} {run_as}"), || {
                let place = Place::new();
                let expected = reuse::fill(&place.project().join("cache"));
                let output = place.build(run_as, &[step], &["--cache-mode", mode, "--progress", "json"]);
                assert!(output.status.success(), "{}", said(&output));
                (reuse::reported(&output.stdout), expected)
            });
        }
    }
}

#[test]
fn what_is_thrown_away_is_said_and_how_to_keep_it() {
    let Some(_) = daemon() else { return };
    for run_as in ["root", "build"] {
        let place = Place::new();
        reuse::fill(&place.project().join("cache"));
        let output = place.build(run_as, &[reuse::WRITE], &["--cache-mode", "discard"]);
        assert!(output.status.success(), "{}", said(&output));
        reuse::thrown_away(&said(&output), 102);
        let output = place.build(run_as, &["touch /var/cache/melange/uses/*"], &["--cache-mode", "discard"]);
        assert!(said(&output).lines().any(|line| line.ends_with(", nothing new")), "{}", said(&output));
        assert_eq!(place.left(), Vec::<String>::new());
    }
}

#[test]
fn who_may_not_be_told_says_why() {
    let Some(_) = daemon() else { return };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can become another user");
    }
    let place = filled();
    let command = place.command("root", &[READ], &["--progress", "json"]);
    let output = owners::by_member(&place, &command, ORDINARY).output().unwrap();
    assert_unknown(&output, "reads of a container are counted only if kiln runs as root");

    // Where the daemon's numbers of processes are others', none of them is looked into.
    let place = filled();
    let command = place.command("root", &[READ], &["--cache-mode", "discard", "--progress", "json"]);
    let mut apart = Command::new("unshare");
    apart.args(["--pid", "--fork", "--mount-proc"]).arg(command.get_program()).args(command.get_args());
    let output = apart.current_dir(place.project()).env("KILN_HOME", place.home()).output().unwrap();
    assert_unknown(&output, "the daemon is in another pid namespace, or on another machine");
    assert_eq!(place.left(), Vec::<String>::new());
}
