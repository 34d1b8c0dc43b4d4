//! A directory for each test: a home that shares images and kernels with the user's home, and a project.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use kiln::{env::Env, home::Home};
use tempfile::TempDir;

use crate::skip::skip;

/// Directories that are made once and only read: taken from the user's own home.
const SHARED: [&str; 2] = ["images", "memos"];

/// Says that there is a daemon; without one the test is skipped.
pub(crate) fn daemon() -> Option<()> {
    let asked = Command::new("docker").arg("info").stdin(Stdio::null()).output();
    if asked.is_ok_and(|output| output.status.success()) {
        return Some(());
    }
    skip("no docker daemon answers");
    None
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A place; gone when dropped.
pub(crate) struct Place {
    root: TempDir,
    head: std::cell::RefCell<String>,
    tail: std::cell::RefCell<String>,
    cache: std::cell::RefCell<String>,
}

impl Place {
    /// One with an input.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("kiln-docker-").tempdir().unwrap();
        fs::create_dir_all(root.path().join("home")).unwrap();
        let shared = Home::find(&Env::of_process()).unwrap();
        for name in SHARED {
            symlink(shared.dir(name).unwrap(), root.path().join("home").join(name)).unwrap();
        }
        let place = Self {
            root,
            head: String::new().into(),
            tail: String::new().into(),
            cache: "cache".to_owned().into(),
        };
        place.write("input", "from-the-host\n");
        place
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// More lines of the build file's `package`.
    pub(crate) fn head(&self, text: &str) {
        self.head.borrow_mut().push_str(text);
    }

    /// More sections of the build file.
    pub(crate) fn tail(&self, text: &str) {
        self.tail.borrow_mut().push_str(text);
    }

    /// Another cache directory.
    pub(crate) fn cache(&self, path: &str) {
        path.clone_into(&mut self.cache.borrow_mut());
    }

    /// Writes the build file.
    pub(crate) fn project_of(&self, run_as: &str, steps: &[&str]) {
        let (head, tail) = (self.head.borrow(), self.tail.borrow());
        let mut text = format!(
            "package:\n  name: sample\n  version: \"1.10\"\n  epoch: 3\n{head}environment:\n  accounts:\n    run-as: {run_as}\n{tail}pipeline:\n"
        );
        for step in steps {
            text += &format!("  - runs: |\n      {}\n", step.replace('\n', "\n      "));
        }
        self.write("file.yaml", &text);
    }

    /// A build of these steps.
    pub(crate) fn command(&self, run_as: &str, steps: &[&str], more: &[&str]) -> Command {
        self.project_of(run_as, steps);
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.current_dir(self.project()).env("KILN_HOME", self.home()).env_remove("QEMU_USE_VIRTIOFS");
        command.args(["build", "--runner", "docker", "--cache-dir"]).arg(&*self.cache.borrow());
        if !more.contains(&"--progress") {
            command.args(["--progress", "plain"]);
        }
        command.args(more).arg("file.yaml").stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn build(&self, run_as: &str, steps: &[&str], more: &[&str]) -> Output {
        self.command(run_as, steps, more).output().unwrap()
    }

    /// The leftovers of this place's runs in docker, the kernel and the home.
    pub(crate) fn left(&self) -> Vec<String> {
        let home = self.home().to_string_lossy().into_owned();
        let labelled = |arguments: &[&str]| {
            let output =
                Command::new("docker").args(arguments).args(["--filter", "label=kiln.run"]).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().filter(|line| line.contains(&home)).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut left =
            labelled(&["ps", "--all", "--format", "container {{.ID}} {{.Status}} {{.Label \"kiln.run\"}}"]);
        left.extend(labelled(&["volume", "ls", "--format", "volume {{.Name}} {{.Label \"kiln.run\"}}"]));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(
            mounts.lines().filter(|line| line.contains(&*self.root().to_string_lossy())).map(str::to_owned),
        );
        let runs = fs::read_dir(self.home().join("run")).into_iter().flatten();
        left.extend(
            runs.map(|run| run.unwrap().path().display().to_string()).filter(|run| !run.ends_with("/lock")),
        );
        left
    }
}
