//! The caches and the files of the benchmark, made once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{bench::boot::BUILD_FILE, cache::renew, home::Home};

/// How many files lie in one directory.
const IN_A_DIRECTORY: usize = 100;
/// How large each file of the merge is.
const MANY_BYTES: usize = 50_000;

/// How large the benchmark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// How many files the caches hold.
    pub caches: &'static [usize],
    /// How many files the merge has.
    pub many: usize,
}

impl Sizes {
    /// A million files, and a gigabyte to merge: it needs 1.2 million free inodes and 4 GB.
    pub const FULL: Self = Self { caches: &[1_000, 100_000, 1_000_000], many: 20_000 };
    /// A tenth.
    pub const QUICK: Self = Self { caches: &[1_000, 100_000], many: 2_000 };
}

/// A cache with its own home of kiln.
pub(super) struct FilledCache {
    pub(super) directory: PathBuf,
    pub(super) home: Home,
    /// How many files it was filled with.
    pub(super) files: usize,
}

/// All of them, in one directory.
pub(super) struct Content {
    pub(super) root: PathBuf,
    pub(super) sizes: Sizes,
    pub(super) caches: Vec<FilledCache>,
    /// The files of the merge.
    pub(super) source: PathBuf,
}

impl Content {
    pub(super) fn fill(root: &Path, sizes: Sizes) -> Result<Self> {
        // Other programs get these paths, and have other working directories.
        let root = std::path::absolute(root).context("find the working directory")?;
        fs::write(root.join("true.yaml"), BUILD_FILE).context("write the build file")?;
        let cache = |files: &usize| FilledCache::fill(&root.join(files.to_string()), *files);
        let caches = sizes.caches.iter().map(cache).collect::<Result<_>>().context("fill the caches")?;
        let source = root.join("source");
        fill_source(&source, sizes.many).context("fill the source of the merge")?;
        Ok(Self { root, sizes, caches, source })
    }
}

impl FilledCache {
    fn fill(root: &Path, files: usize) -> Result<Self> {
        let cache = Self::empty(root)?;
        for number in 0..files / IN_A_DIRECTORY {
            let directory = cache.directory.join(format!("pip/{}/{number}", number % 100));
            fs::create_dir_all(&directory)?;
            for file in 0..IN_A_DIRECTORY {
                fs::write(directory.join(file.to_string()), "")?;
            }
        }
        // As if commits had filled it: else each one looks at up to 5,000 files, whatever the size.
        renew(&cache.home, &cache.directory)?;
        Ok(Self { files, ..cache })
    }

    /// A cache without files, and a home.
    pub(super) fn empty(root: &Path) -> Result<Self> {
        let directory = root.join("cache");
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(Self { directory, home: Home::at(root.join("home")), files: 0 })
    }
}

/// Files of which no two have the same content.
fn fill_source(source: &Path, files: usize) -> Result<()> {
    for number in 0..files {
        let directory = source.join(format!("uv/{}", number / IN_A_DIRECTORY));
        fs::create_dir_all(&directory)?;
        let content: Vec<u8> = (0..MANY_BYTES).map(|byte| ((byte * number) >> 3) as u8).collect();
        fs::write(directory.join(number.to_string()), content)?;
    }
    Ok(())
}
