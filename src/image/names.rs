//! The packages of a distribution: a list of their names, fetched and kept, so that a missing package is found before a root
//! is made of the others.
//!
//! `<home>/packages/SUITE-ARCH[-KEY]`: a head line, then the names, sorted. A list with all
//! requested names is right at any age; for a name that it lacks, an old list is fetched again. If that fails, mmdebstrap finds
//! the missing package.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::{key::Key, store::Store};
use crate::{
    event::{Event, Sink},
    files::{Durability, write_atomically},
    plan::{DebianRoot, ImageRecipe, ImageSource as Source, is_debian_name},
    process::Spawner,
};

/// The first line of a list.
const HEAD: &str = "kiln packages 1";

/// The age up to which a list counts as new.
const FRESH: Duration = Duration::from_secs(3600);

/// The age at which a list is removed.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// A distribution is no larger: Debian has 1.5 MB of names.
const MOST_BYTES: u64 = 64 << 20;

/// Packages of a recipe that its distribution does not have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    /// The names.
    pub packages: Vec<String>,
    /// Those that it has.
    pub known: Vec<String>,
}

impl Store {
    /// Packages of a recipe that its distribution does not have; empty if that is not known, or the image exists.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn missing_packages(
        &self,
        recipe: &ImageRecipe,
        spawner: &Spawner,
        sink: &mut dyn Sink,
    ) -> Result<Missing> {
        let Source::Debian(root) = &recipe.source else { return Ok(Missing::default()) };
        let Some(list) = List::of(&self.names, root, &recipe.arch) else { return Ok(Missing::default()) };
        let key = self.key(recipe)?;
        if self.read(&key)?.is_some() {
            return Ok(Missing::default());
        }
        match list.missing(root) {
            Some(missing) if missing.packages.is_empty() || list.is_fresh() => return Ok(missing),
            Some(_) | None => {}
        }
        sink.emit(Event::Note { text: format!("fetch the list of packages of Debian {}", root.suite) });
        sweep(&self.names);
        let staging = self.request_staging(&key);
        let asked = self.apt_query(root, &recipe.arch, &staging, spawner).names().await;
        if let Err(error) = asked.and_then(|said| list.keep(said)) {
            // mmdebstrap will fail as well, with a better message.
            tracing::debug!(error = %format!("{error:#}"), "the list of packages cannot be fetched");
            return Ok(Missing::default());
        }
        Ok(list.missing(root).unwrap_or_default())
    }
}

/// The list of a recipe's distribution.
struct List {
    path: PathBuf,
}

impl List {
    /// In the directory of lists; `None` for a root without packages of its own.
    fn of(directory: &Path, root: &DebianRoot, arch: &str) -> Option<Self> {
        let DebianRoot { suite, packages, repositories } = root;
        if packages.is_empty() {
            return None;
        }
        let mut name = format!("{suite}-{arch}");
        if !repositories.is_empty() {
            let key = Key::from(Sha256::new_with_prefix(repositories.join("\n")));
            name += &format!("-{key}");
        }
        Some(Self { path: directory.join(name) })
    }

    /// The packages of a root that the list lacks; `None` without a list.
    fn missing(&self, root: &DebianRoot) -> Option<Missing> {
        let text = fs::read_to_string(&self.path).ok()?;
        let known: Vec<&str> = text.strip_prefix(HEAD)?.lines().filter(|name| !name.is_empty()).collect();
        let is_missing = |name: &&String| known.binary_search(&name.as_str()).is_err();
        let packages: Vec<String> = root.packages.iter().filter(is_missing).cloned().collect();
        if packages.is_empty() {
            return Some(Missing::default());
        }
        Some(Missing { packages, known: known.into_iter().map(str::to_owned).collect() })
    }

    /// Whether it is too new to be fetched again.
    fn is_fresh(&self) -> bool {
        age(&self.path).is_some_and(|age| age < FRESH)
    }

    /// Keeps the output of apt: a name, or several with commas and versions, a line.
    fn keep(&self, mut said: File) -> Result<()> {
        said.rewind().context("read the list of packages")?;
        let mut bytes = Vec::new();
        said.take(MOST_BYTES + 1).read_to_end(&mut bytes).context("read the list of packages")?;
        ensure!(bytes.len() as u64 <= MOST_BYTES, "the list of packages is longer than {MOST_BYTES} bytes");
        let text = String::from_utf8_lossy(&bytes);
        let mut names: Vec<&str> = text.lines().flat_map(names).filter(|name| is_debian_name(name)).collect();
        names.sort_unstable();
        names.dedup();
        ensure!(!names.is_empty(), "the list of packages is empty");
        write_atomically(
            &self.path,
            format!("{HEAD}\n{}\n", names.join("\n")).as_bytes(),
            Durability::Content,
        )
    }
}

/// The names of a line.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').filter_map(|one| one.split_whitespace().next()).map(|name| {
        // It may have the name of an architecture.
        name.split_once(':').map_or(name, |(name, _)| name)
    })
}

fn age(path: &Path) -> Option<Duration> {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    SystemTime::now().duration_since(changed).ok()
}

/// Removes lists that are out of use.
fn sweep(directory: &Path) {
    let old = |path: &PathBuf| age(path).is_some_and(|age| age > FORGOTTEN);
    let lists = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in lists.filter(old) {
        // best effort: another kiln was faster, or it stays.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn root(packages: &[&str], repositories: &[&str]) -> DebianRoot {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let (packages, repositories) = (owned(packages), owned(repositories));
        DebianRoot { suite: "bookworm".into(), packages, repositories }
    }

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn a_name_that_the_list_lacks_is_missing() {
        let directory = tempfile::tempdir().expect("a directory");
        let asked = root(&["make", "nosuch", "awk", "libc6"], &[]);
        let list = List::of(directory.path(), &asked, "amd64").expect("it installs something");
        assert_eq!((list.missing(&asked), list.is_fresh()), (None, false));
        // Names and provided names, as apt prints them, and lines of a hostile repository.
        list.keep(file("make\nmawk\nawk, mawk:any (= 1), x-editor\n../../etc\nlibc6\n\u{1b}[2J\n\0\n"))
            .expect("kept");
        let known = ["awk", "libc6", "make", "mawk", "x-editor"].map(str::to_owned).to_vec();
        assert_eq!(list.missing(&asked), Some(Missing { packages: vec!["nosuch".into()], known }));
        assert_eq!(list.missing(&root(&["make", "awk"], &[])), Some(Missing::default()));
        assert!(list.is_fresh());
        for nothing in ["", "\n\n", "../x\n"] {
            assert!(list.keep(file(nothing)).is_err(), "{nothing:?}");
        }
        assert!(list.missing(&asked).is_some(), "the list before is kept");
    }

    #[test]
    fn each_distribution_has_a_list_of_its_own_and_old_lists_are_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |root: &DebianRoot| List::of(directory.path(), root, "amd64").map(|list| list.path);
        assert_eq!(path(&root(&[], &[])), None);
        assert_eq!(path(&root(&["make"], &[])), Some(directory.path().join("bookworm-amd64")));
        let other = path(&root(&["make"], &["deb http://r.example/ x main"]));
        assert!(other.as_ref().is_some_and(|other| other.to_string_lossy().len() > 70), "{other:?}");

        for (name, days) in [("old", 31), ("new", 29)] {
            let file = File::create(directory.path().join(name)).expect("made");
            file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 3600)).expect("set");
        }
        sweep(directory.path());
        assert!(directory.path().join("new").exists() && !directory.path().join("old").exists());
    }
}
