//! A build removes the leftovers of dead runs, however old they are.

use std::process::Command;

use crate::{
    wait_until::wait_until,
    world::{Place, daemon, said},
};

fn docker(arguments: &[&str]) {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_appears_while_a_build_runs_is_swept_at_its_end() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let step = "touch /var/cache/melange/runs; until test -e /var/cache/melange/goes-on; do sleep 0.1; done";
    let mut kiln = place.command("root", &[step], &["--cache-mode", "rw"]);
    let mut build = kiln.stderr(std::process::Stdio::null()).spawn().unwrap();
    let runs = wait_until(|| place.project().join("cache/runs").exists());
    // As dockerd goes on with what a killed run has asked it for.
    let label = format!("kiln.run={}", place.home().join("run/dead").display());
    let volume = format!("kiln-test-{}", std::process::id());
    docker(&["volume", "create", "--label", &label, &volume]);
    place.write("cache/goes-on", "");
    assert!(build.wait().unwrap().success() && runs);
    assert_eq!(place.left(), Vec::<String>::new());
}
