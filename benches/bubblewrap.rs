//! A sandbox's overhead: a build of one step `true` with `--runner bubblewrap` on a warm store, against a bare `bwrap` that
//! runs `true` on the same root in the same namespaces. Whole commands, side by side; a sample that fails ends it.
//!
//! `cargo bench --bench bubblewrap -- --runs 20`, as root (which mounts the image); fails when the build takes more than
//! [`BOUND`] longer.

#[path = "measure/command.rs"]
mod command;
mod measure;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use command::{run, sample};
use measure::{Series, report, runs};

/// How much longer than the bare sandbox the build may take, in seconds, by the medians.
const BOUND: f64 = 0.030;

const FILE: &str = "package:\n  name: nothing\n  version: \"1\"\n  epoch: 0\npipeline:\n  - runs: \"true\"\n";

fn kiln(directory: &Path, command: &str) -> Command {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    // As a user has it: with network, source and cache.
    kiln.current_dir(directory).args([command, "--runner", "bubblewrap", "true.yaml"]);
    kiln
}

/// A root that is mounted for as long as this lives.
struct Root {
    path: PathBuf,
    mounted: bool,
}

impl Root {
    /// That of the plan: its tree, or its image, mounted.
    fn of_plan(directory: &Path) -> Self {
        let plan = run(&mut kiln(directory, "plan"));
        let words: Vec<&str> = plan.split_ascii_whitespace().collect();
        let before = |target: &str| words.windows(2).find(|pair| pair[1] == target).map(|pair| pair[0]);
        if let Some(image) = before("/kiln-image") {
            let path = directory.join("root");
            fs::create_dir(&path).expect("a directory can be made");
            run(Command::new("mount").args(["-o", "ro,loop", image]).arg(&path));
            return Self { path, mounted: true };
        }
        let tree = before("/lower").expect("a plan names the root");
        Self { path: tree.into(), mounted: false }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.mounted {
            run(Command::new("umount").arg(&self.path));
        }
    }
}

fn bare(root: &Path) -> Command {
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
    bwrap.args(["--hostname", "kiln", "--as-pid-1", "--die-with-parent", "--clearenv"]);
    bwrap.arg("--ro-bind").arg(root).arg("/");
    bwrap.args(["--proc", "/proc", "--ro-bind", "/sys", "/sys", "--dev", "/dev", "--", "/bin/true"]);
    bwrap
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    fs::write(directory.path().join("true.yaml"), FILE).expect("the build file can be written");
    // The first one makes the image, if need be.
    run(kiln(directory.path(), "build").args(["--progress", "quiet"]));
    let root = Root::of_plan(directory.path());

    let mut series = [Series::new("bare bwrap"), Series::new("kiln build")];
    // The first round warms the page cache, and is not counted.
    for round in 0..=runs(20) {
        let build = &mut kiln(directory.path(), "build");
        let took = [sample(&mut bare(&root.path)), sample(build.args(["--progress", "quiet"]))];
        if round > 0 {
            series.iter_mut().zip(took).for_each(|(one, seconds)| one.seconds.push(seconds));
        }
    }
    report("bubblewrap", &series);
    let more = series[1].median() - series[0].median();
    assert!(
        more <= BOUND,
        "a build takes {:.1} ms more than a bare bwrap, not {:.0}",
        more * 1e3,
        BOUND * 1e3
    );
}
