//! The directory of the files that outlive a run: images, kernels, verdicts, leases.
//!
//! Before it: the environment. After it: the stores, each in a directory below. No guest can write to it.

use std::{
    fs::{self, DirBuilder, File},
    hash::{BuildHasher, RandomState},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};

use crate::{
    env::Env,
    exit::Failure,
    files::{Durability, write_atomically},
};

/// The file of [`Home::identity`].
const IDENTITY: &str = "identity";

/// The directory of kiln's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// `$KILN_HOME`, else `$XDG_CACHE_HOME/kiln`, else `~/.cache/kiln`. Makes nothing.
    pub fn find(env: &Env) -> Result<Self, Failure> {
        let root = if let Some(home) = env.path("KILN_HOME") {
            // Absolute: children and later commands have other working directories.
            std::path::absolute(home).map_err(|error| Failure::host(format!("KILN_HOME: {error}"), ""))?
        } else if let Some(cache) = env.path("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
            // "If an implementation encounters a relative path […] it should ignore it" (XDG base directories, 0.8).
            cache.join("kiln")
        } else if let Some(home) = env.path("HOME") {
            home.join(".cache/kiln")
        } else {
            return Err(Failure::host(
                "there is no directory for images and kernels: none of KILN_HOME, XDG_CACHE_HOME and HOME is set",
                "Set KILN_HOME to a directory with some gigabytes of space.",
            ));
        };
        Ok(Self { root })
    }

    /// The home at this path.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory below, made when missing (0700).
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|error| {
            Failure::host(
                format!("{} cannot be made: {error}", dir.display()),
                "Set KILN_HOME to a directory that this user can write.",
            )
        })?;
        Ok(dir)
    }

    /// A name for this home and no other: a copy of a home has another one. The number of a device may change at each start of
    /// the host, so it is not part of the name.
    pub fn identity(&self) -> Result<String> {
        let root = self.dir("")?;
        let inode = fs::metadata(&root).with_context(|| format!("look at {}", root.display()))?.ino();
        let begin = format!("{inode:x}-");
        let known = || anyhow::Ok(self.read("", IDENTITY)?.and_then(|text| String::from_utf8(text).ok()));
        let is_own = |text: &String| text.strip_prefix(&begin).is_some_and(|rest| rest.len() == 16);
        if let Some(own) = known()?.filter(is_own) {
            return Ok(own);
        }
        let random = RandomState::new().hash_one("a fresh random key makes this a random number");
        let path = root.join(IDENTITY);
        write_atomically(&path, format!("{begin}{random:016x}").as_bytes(), Durability::ContentAndName)?;
        // Another kiln may have written it at the same time: the file counts.
        known()?
            .filter(is_own)
            .with_context(|| format!("{} has other content than was written", path.display()))
    }

    /// Writes a file of a directory below so that readers see all of it or none.
    pub fn write(&self, dir: &str, name: &str, content: &[u8]) -> Result<()> {
        write_atomically(&self.dir(dir)?.join(name), content, Durability::Cache)
    }

    /// Removes a file of a directory below, if it is there.
    pub fn remove(&self, dir: &str, name: &str) -> Result<()> {
        let path = self.root.join(dir).join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The content of a file of a directory below; `None` without such a file.
    pub fn read(&self, dir: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.root.join(dir).join(name);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }
}

/// A file that was chosen is soon opened: a file that was used within this time stays.
const IN_USE: Duration = Duration::from_secs(60 * 60);

/// Notes that a file of the home is used now.
pub fn used(path: &Path) {
    // best effort: the home may belong to another user.
    let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes the least recently used entries of a directory, down to `most`. Entries that are used now, or may not go, stay.
pub fn bound(directory: &Path, most: usize, may_go: impl Fn(&Path) -> bool) -> Result<()> {
    let doing = || format!("read {}", directory.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).with_context(doing)? {
        let path = entry.with_context(doing)?.path();
        // Another kiln may have removed it meanwhile.
        if let Ok(used) = fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            entries.push((used, path));
        }
    }
    entries.sort_unstable();
    entries.truncate(entries.len().saturating_sub(most));
    let unused = |used: SystemTime| SystemTime::now().duration_since(used).is_ok_and(|age| age >= IN_USE);
    for (_, path) in entries.into_iter().filter(|(used, path)| unused(*used) && may_go(path)) {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            tracing::debug!(?path, %error, "an old file of the home stays");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Result<PathBuf, Failure> {
        Home::find(&variables.iter().copied().collect()).map(|home| home.root)
    }

    #[test]
    fn the_first_of_three_variables_that_is_set_wins() {
        let (k, x, h) = (("KILN_HOME", "/k"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h"));
        for (variables, root) in [
            (vec![k, x, h], "/k"),
            (vec![x, h], "/x/kiln"),
            (vec![h], "/h/.cache/kiln"),
            (vec![("KILN_HOME", ""), ("XDG_CACHE_HOME", ""), h], "/h/.cache/kiln"),
            (vec![("XDG_CACHE_HOME", "relative"), h], "/h/.cache/kiln"),
        ] {
            assert_eq!(found(&variables).unwrap(), Path::new(root));
        }
    }

    #[test]
    fn without_a_variable_the_error_names_those_to_set() {
        let failure = found(&[("HOME", "")]).unwrap_err();
        assert_eq!(failure.code, crate::exit::Code::Host);
        assert!(failure.what.contains("HOME"), "{}", failure.what);
        assert!(failure.way_out.contains("KILN_HOME"), "{}", failure.way_out);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("deep/home"));
        assert_eq!(home.read("verdicts", "a").unwrap(), None);
        home.write("verdicts", "a", b"first").unwrap();
        home.write("verdicts", "a", b"second").unwrap();
        assert_eq!(home.read("verdicts", "a").unwrap().unwrap(), b"second");
        assert_eq!(fs::read_dir(home.dir("verdicts").unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_home_keeps_its_identity_and_a_copy_has_another() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("home"));
        let identity = home.identity().unwrap();
        assert_eq!(home.identity().unwrap(), identity);
        let copy = Home::at(dir.path().join("copy"));
        fs::copy(home.root().join(IDENTITY), copy.dir("").unwrap().join(IDENTITY)).unwrap();
        assert_ne!(copy.identity().unwrap(), identity);
        assert_eq!(copy.identity().unwrap(), copy.identity().unwrap());
        fs::write(home.root().join(IDENTITY), "").unwrap();
        assert_ne!(home.identity().unwrap(), identity, "a lost identity is made anew");
    }

    #[test]
    fn the_least_recently_used_files_go_but_none_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, hours: u64| {
            let path = dir.path().join(name);
            let time = SystemTime::now() - Duration::from_secs(hours * 3600);
            File::create(&path).unwrap().set_modified(time).unwrap();
            path
        };
        let paths = [("a", 4), ("b", 3), ("c", 2), ("d", 0)].map(|(name, hours)| make(name, hours));
        let there = || paths.iter().filter(|path| path.exists()).count();
        used(&paths[0]);
        bound(dir.path(), 3, |_| true).unwrap();
        assert!(!paths[1].exists() && there() == 3);
        bound(dir.path(), 0, |path| path != paths[2]).unwrap();
        assert_eq!(there(), 3, "one may not go, two are in use");
        bound(dir.path(), 0, |_| true).unwrap();
        assert_eq!(there(), 2);
    }
}
