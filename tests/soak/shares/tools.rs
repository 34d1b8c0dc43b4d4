//! pjdfstest and fsx: programs of these tests, built here from crates.io for any Linux (musl, static), each in the version that the
//! tables were made with. They are no dependency of kiln, and no part of it: `cargo install` fetches them, verified by the
//! registry's checksums, into the target directory, once.

use std::{
    env::consts::ARCH,
    path::{Path, PathBuf},
    process::Command,
};

/// A program and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// BSD-2-Clause: what POSIX says of chmod, chown, link, mkdir, open, rename, truncate, unlink, utimensat and others.
    Pjdfstest,
    /// APSL-2.0: random operations on one file, compared with a copy in memory after each.
    Fsx,
}

impl Tool {
    /// The crate, which has the program's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pjdfstest => "pjdfstest",
            Self::Fsx => "fsx",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Pjdfstest => "0.2.2",
            Self::Fsx => "0.3.2",
        }
    }

    /// The program, which is built if it is not there.
    pub(super) fn program(self) -> PathBuf {
        // Its version is in the path: another one is another file.
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{}", self.name(), self.version()));
        let program = root.join("bin").join(self.name());
        if !program.exists() {
            let mut install = Command::new(env!("CARGO"));
            install
                .args([
                    "install",
                    "--locked",
                    "--quiet",
                    "--no-track",
                    "--force",
                    "--version",
                    self.version(),
                ])
                .args(["--target", &format!("{ARCH}-unknown-linux-musl"), "--root"])
                .arg(&root)
                .arg(self.name())
                // Flags of this build are for another target.
                .env_remove("RUSTFLAGS")
                .env_remove("CARGO_ENCODED_RUSTFLAGS")
                .env_remove("CARGO_TARGET_DIR")
                // Not below kiln's directory, whose cargo configuration is for kiln.
                .current_dir("/");
            let output = install.output().unwrap();
            assert!(
                output.status.success(),
                "{install:?}: {} (these tests need a network once)",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        program
    }
}
