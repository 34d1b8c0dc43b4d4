//! The directories of one benchmark, which exist only while it runs, and the files that its guests work with.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    bench::{Random, Scratch},
    process::{Command, Spawner},
};
use anyhow::{Context, Result, ensure};

/// The scripts of the guests, and a source file that [`PREPARE`] compiles.
const SCRIPTS: [(&str, &str); 5] = [
    (DRIVE, include_str!("guest/drive.sh")),
    ("files.pl", include_str!("guest/files.pl")),
    (PREPARE, include_str!("guest/prepare.sh")),
    ("packages.sh", include_str!("guest/packages.sh")),
    ("markers.c", include_str!("guest/markers.c")),
];
/// The script of a visit.
pub(super) const DRIVE: &str = "drive.sh";
/// The script that makes [`MADE`].
pub(super) const PREPARE: &str = "prepare.sh";
/// What the first guest makes for the others.
const MADE: [&str; 2] = ["markers.so", "tree.tar"];
/// The directory of the tools with the filled caches of package managers.
const PACKAGES: &str = "packages";
/// The projects of package managers: those of the examples.
const PROJECTS: [(&str, &str); 8] = [
    ("npm-ci/package.json", include_str!("../../../examples/npm/package.json")),
    ("npm-ci/package-lock.json", include_str!("../../../examples/npm/package-lock.json")),
    ("pip-install/requirements.txt", include_str!("../../../examples/pip/requirements.txt")),
    ("cargo-build/Cargo.toml", include_str!("../../../examples/cargo/Cargo.toml")),
    ("cargo-build/src/main.rs", include_str!("../../../examples/cargo/src/main.rs")),
    ("go-build/go.mod", include_str!("../../../examples/go/go.mod")),
    ("go-build/go.sum", include_str!("../../../examples/go/go.sum")),
    ("go-build/main.go", include_str!("../../../examples/go/main.go")),
];

/// The file that fio reads, and its size.
const DATA: &str = "data";
const DATA_BYTES: u64 = 64 << 20;
/// The limit for a copy of the caches of package managers, which have some hundred megabytes.
const COPY_LIMIT: Duration = Duration::from_secs(600);

/// The directories below the user's `--out-dir`; removed when dropped.
#[derive(Debug)]
pub(super) struct Inputs {
    root: Scratch,
}

impl Inputs {
    /// Makes them, with everything that needs no guest.
    pub(super) fn create(out_dir: &Path, spawner: &Spawner) -> Result<Self> {
        let inputs = Self { root: Scratch::new(out_dir, spawner)? };
        let tools = inputs.tools();
        fs::create_dir(&tools).with_context(|| format!("make {}", tools.display()))?;
        for (name, text) in SCRIPTS {
            inputs.write(name, text)?;
        }
        for (name, text) in PROJECTS {
            inputs.write(&format!("projects/{name}"), text)?;
        }
        let data = tools.join(DATA);
        write_data(&data).with_context(|| format!("write {}", data.display()))?;
        Ok(inputs)
    }

    /// What guests have at `/home/build`.
    pub(super) fn tools(&self) -> PathBuf {
        self.root.path().join("tools")
    }

    /// Writes a file of the tools.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.tools().join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// A cache of its own for a guest.
    pub(super) fn cache(&self) -> Result<Cache> {
        let path = self.root.path().join("cache");
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Cache { path })
    }

    /// Takes over the caches that package managers have filled in this one.
    pub(super) fn take_packages(&self, cache: &Cache) -> Result<()> {
        let (from, to) = (cache.path.join(PACKAGES), self.tools().join(PACKAGES));
        fs::rename(&from, &to).with_context(|| format!("move {} to {}", from.display(), to.display()))
    }

    /// Takes over what [`PREPARE`] has made in this cache.
    ///
    /// # Errors
    /// When it has not made all of it.
    pub(super) fn take(&self, cache: &Cache) -> Result<()> {
        for name in MADE {
            let (from, to) = (cache.path.join(name), self.tools().join(name));
            fs::rename(&from, &to).with_context(|| format!("move {} to {}", from.display(), to.display()))?;
        }
        Ok(())
    }
}

/// The cache of one guest; removed when dropped.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) path: PathBuf,
}

impl Cache {
    /// Puts the data of fio into it, where guests look for it. The file has the same blocks as that of the tools, so that the host's
    /// page cache has it, and so that nothing is left to be written to the disk while the guest runs.
    pub(super) async fn fill(&self, tools: &Path, spawner: &Spawner) -> Result<()> {
        let directory = self.path.join("bench");
        fs::create_dir(&directory).with_context(|| format!("make {}", directory.display()))?;
        let (from, to) = (tools.join(DATA), directory.join(DATA));
        fs::hard_link(&from, &to)
            .or_else(|_| fs::copy(&from, &to).map(|_| ()))
            .with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
        let packages = tools.join(PACKAGES);
        if packages.exists() {
            // Package managers write into their caches, so each guest has a copy.
            let copy = Command::new("cp").args(["-a", "--reflink=auto"]).arg(&packages).arg(&directory);
            let output = spawner.output(copy, COPY_LIMIT).await?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "copy {}: {}", packages.display(), said.trim());
        }
        Ok(())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            // Best effort: the directory around it is removed as well, by the reaper once all processes have ended.
            tracing::warn!(path = %self.path.display(), %error, "a cache of the benchmark stays");
        }
    }
}

/// Bytes without a pattern, so that no layer below can compress them or leave them out, and on the disk before anything is measured.
fn write_data(path: &Path) -> std::io::Result<()> {
    let mut random = Random::new(0, 0);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for _ in 0..DATA_BYTES / 8 {
        file.write_all(&random.next_u64().to_le_bytes())?;
    }
    let file = file.into_inner()?;
    file.sync_all()
}
