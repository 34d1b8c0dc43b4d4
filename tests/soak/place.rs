//! A directory for each case: a home, a directory for scratch files, a project; and a mark by which all processes of the
//! case can be found.

use std::{
    env::temp_dir,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{lchown, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln::{env::Env, home::Home};
use nix::unistd::geteuid;
use tempfile::TempDir;

/// The variable in the environment of all that a case starts.
pub(crate) const MARK: &str = "KILN_SOAK_RUN";

/// Directories that are made once and only read: taken from the user's own home.
const SHARED: [&str; 8] =
    ["bin", "images", "initramfs", "kernels", "memos", "scratch", "templates", "vmlinux"];

/// An ordinary user of no name, for tests that run as root: kiln looks at numbers only.
const USER: u32 = 12_345;

/// The user that runs kiln.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The user that runs the test.
    Invoker,
    /// An ordinary user, whose home has copies of what root's has.
    OrdinaryUser,
}

/// A place; gone when dropped.
pub(crate) struct Place {
    root: TempDir,
    who: Who,
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
        Self { root, who: Who::Invoker }
    }

    /// One for an ordinary user; the test is root.
    pub(crate) fn of_ordinary_user() -> Self {
        let place = Self { who: Who::OrdinaryUser, ..Self::new() };
        let home = place.root().join("home");
        for name in SHARED {
            let link = home.join(name);
            let shared = fs::read_link(&link).unwrap();
            fs::remove_file(&link).unwrap();
            if !matches!(name, "bin" | "kernels" | "images") {
                continue;
            }
            fs::create_dir(&link).unwrap();
            // But for what another test is making at this moment.
            let whole = fs::read_dir(&shared).unwrap().map(|entry| entry.unwrap().path());
            let whole: Vec<PathBuf> =
                whole.filter(|path| !path.file_name().unwrap().as_bytes().starts_with(b".")).collect();
            // Links to the same files where that is possible: they are some gigabytes.
            // A tree of an image has links that lead nowhere here, which cp would follow when it links.
            let copy = |how: &str| {
                Command::new("cp")
                    .args(["-r", "--no-dereference", how])
                    .args(&whole)
                    .arg(&link)
                    .status()
                    .unwrap()
            };
            if !whole.is_empty() && !copy("--link").success() {
                assert!(copy("--sparse=auto").success(), "{name} cannot be copied");
            }
        }
        for entry in fs::read_dir(home.join("images")).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                // A tree is unpacked into it.
                place.give_to_user(&entry);
                // A file that only root can read.
                let record = entry.join("image.json");
                if let Ok(text) = fs::read(&record) {
                    fs::remove_file(&record).unwrap();
                    fs::write(&record, text).unwrap();
                }
            } else {
                // A lock, which is made anew when it is needed.
                fs::remove_file(&entry).unwrap();
            }
        }
        fs::copy(env!("CARGO_BIN_EXE_kiln"), place.root().join("kiln")).unwrap();
        place.give_to_user(place.root());
        for directory in ["home", "scratch", "project", "home/images"] {
            place.give_to_user(&place.root().join(directory));
        }
        place
    }

    /// Gives a file or directory that the test made to the user that runs kiln.
    pub(crate) fn give_to_user(&self, path: &Path) {
        if self.who == Who::OrdinaryUser {
            lchown(path, Some(USER), Some(USER)).unwrap();
        }
    }

    /// The owner of the files that kiln leaves.
    pub(crate) fn uid(&self) -> u32 {
        match self.who {
            Who::Invoker => geteuid().as_raw(),
            Who::OrdinaryUser => USER,
        }
    }

    /// All of it.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where the build file lies.
    pub(crate) fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    /// A directory of the project that the user that runs kiln may write into.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let directory = self.project().join(name);
        fs::create_dir(&directory).unwrap();
        self.give_to_user(&directory);
        directory
    }

    /// The value of [`MARK`].
    pub(crate) fn mark(&self) -> String {
        self.root().file_name().unwrap().to_string_lossy().into_owned()
    }

    /// kiln, in the project, with this place's home.
    pub(crate) fn kiln(&self) -> Command {
        let mut kiln = match self.who {
            Who::Invoker => Command::new(env!("CARGO_BIN_EXE_kiln")),
            Who::OrdinaryUser => {
                let mut kiln = Command::new("setpriv");
                let user = USER.to_string();
                kiln.args(["--reuid", &user, "--regid", &user, "--clear-groups"])
                    .arg(self.root().join("kiln"));
                kiln
            }
        };
        kiln.current_dir(self.project())
            .env("HOME", self.root())
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

/// The build files of a directory, in the order of their names.
pub(crate) fn build_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files
}
