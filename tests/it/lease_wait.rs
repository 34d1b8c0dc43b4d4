//! `kiln cache` while another process has the cache: which process that is, and how long the command waits for it.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use kiln::cache::LockMode;

use crate::cache::Bench;

fn kiln(bench: &Bench, arguments: &[&str]) -> Command {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.arg("cache").args(arguments).env("KILN_HOME", bench.home().root()).stdin(Stdio::null());
    kiln.current_dir(bench.cache().parent().unwrap());
    kiln
}

#[test]
fn what_still_holds_a_cache_after_its_build_is_named_and_waited_for() {
    let bench = Bench::new();
    bench.write("pip/x", "x");
    let listed = || String::from_utf8(kiln(&bench, &["ls"]).output().unwrap().stdout).unwrap();
    let lease = bench.try_lease(LockMode::Exclusive).unwrap();
    let daemons = lease.share().unwrap();
    assert!(listed().contains(&format!("pid {} (a test)", std::process::id())), "{}", listed());
    drop(lease);
    assert!(listed().ends_with("  a daemon of a build that has ended\n"), "{}", listed());

    let prune = ["prune", "--max-size", "0", "--cache-dir", "cache", "--cache-wait"];
    let output = kiln(&bench, &prune).arg("1ms").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    for part in ["was not free within 1ms", "a daemon of a build that has ended", "raise --cache-wait"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(bench.has("pip/x"));

    let mut waiting =
        kiln(&bench, &prune).arg("10m").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(waiting.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("waits, at most 600s, for the cache"), "{line}");
    drop(daemons);
    assert!(waiting.wait().unwrap().success());
    assert!(!bench.has("pip/x"));
    let listed = listed();
    assert!(listed.starts_with("CACHE ") && listed.lines().last().unwrap().ends_with("  -"), "{listed}");
}

#[test]
fn every_cache_command_waits_for_an_exclusive_lease() {
    let bench = Bench::new();
    let _alone = bench.alone();
    for command in [&["report"][..], &["verify"], &["export", "-"], &["import", "/dev/null"]] {
        let with = |wait| {
            let mut kiln = kiln(&bench, command);
            kiln.args(["--cache-dir", "cache", "--cache-wait", wait]).output().unwrap().status.code()
        };
        assert_eq!((with("0s"), with("1ms"), with("soon")), (Some(7), Some(6), Some(2)), "{command:?}");
    }
}
