//! A place of its own for each case: a home, a directory for scratch files, a project; and a mark by which all that is
//! started in it can be found.

use std::{
    env::temp_dir,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln::{env::Env, home::Home};
use tempfile::TempDir;

/// The variable in the environment of all that a case starts.
pub(crate) const MARK: &str = "KILN_SOAK_RUN";

/// What is made once and only read: taken from the user's own home.
const SHARED: [&str; 7] = ["bin", "images", "initramfs", "kernels", "memos", "scratch", "vmlinux"];

/// A place; gone when dropped.
pub(crate) struct Place {
    root: TempDir,
}

impl Place {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("kiln-soak-").tempdir_in(temp_dir()).unwrap();
        for directory in ["home", "scratch", "project"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        let shared = Home::find(&Env::of_process()).unwrap();
        for name in SHARED {
            symlink(shared.dir(name).unwrap(), root.path().join("home").join(name)).unwrap();
        }
        Self { root }
    }

    /// All of it.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where the build file lies.
    pub(crate) fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    /// The value of [`MARK`].
    pub(crate) fn mark(&self) -> String {
        self.root().file_name().unwrap().to_string_lossy().into_owned()
    }

    /// kiln, in the project, with this place's home.
    pub(crate) fn kiln(&self) -> Command {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.current_dir(self.project())
            .env("KILN_HOME", self.root().join("home"))
            .env("QEMU_DISKS_PATH", self.root().join("scratch"))
            .env("TMPDIR", self.root().join("scratch"))
            .env(MARK, self.mark())
            .env("NO_COLOR", "1")
            .env_remove("QEMU_USE_VIRTIOFS")
            .stdin(Stdio::null());
        kiln
    }
}
