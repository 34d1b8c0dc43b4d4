//! The plan of a build that has not run yet.

use std::{fs, path::Path, process::Command};

use super::{has_bwrap, project};

#[test]
fn a_cache_that_does_not_exist_yet_has_the_plan_of_one_that_does() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let text = "package: {name: sample, version: 1, epoch: 0}\npipeline: [{runs: 'true'}]\n";
    fs::write(project.join("file.yaml"), text).expect("written");
    let first = plan(&project);
    assert!(!project.join("caches").exists(), "a plan makes nothing");
    fs::create_dir_all(project.join("caches/own")).expect("made");
    assert_eq!(first, plan(&project));
}

fn plan(project: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(project).args(["plan", "--runner", "bubblewrap", "--cache-dir", "caches/own"]);
    let output = command.arg("file.yaml").output().expect("kiln can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
