//! The entries that builds put into a shared cache, and the check that they are whole.
//!
//! Each build adds entries of its own, adds and rewrites some that all of them write, and removes one that was there for it.
//! In mode commit these go together: all of a build's, or nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// How many files an entry has.
const FILES: usize = 4;
/// How many lines one has that all write.
const LINES: usize = 2_000;

/// The beginning of every step: it checks that the entries of all other builds are whole.
pub(super) const LOOK: &str = "cd /var/cache/melange
whole() {
  for entry in own/*/; do
    test ! -d $entry || (cd $entry && sha256sum --quiet --strict -c sums)
  done
}
whole
";

/// The work of a step that may write; NAME is the build's own. The end of any process that it starts, other than by itself,
/// is the end of the step.
pub(super) const WORK: &str = "test -f old/NAME/kept
mkdir -p own part.NAME gomodcache/cache/download/same/@v
for n in 1 2 3 4; do head -c 20000 /dev/urandom > part.NAME/$n; done
(cd part.NAME && sha256sum 1 2 3 4 > sums)
mv part.NAME own/NAME
for n in 1 2 3 4; do
  test -e gomodcache/cache/download/same/@v/$n.zip ||
    printf 'NAME\\n%.0s' {1..2000} > gomodcache/cache/download/same/@v/$n.zip
done
printf 'NAME\\n%.0s' {1..2000} > new.NAME
mv new.NAME list
for source in NAME same; do
  sum=$(printf $source | sha256sum)
  printf $source > new.NAME
  mv new.NAME sha256:${sum%% *}
done
rm -r old/NAME
whole
";

/// Makes what is there for a build to remove, and says what was made.
pub(super) fn prepare(cache: &Path, name: &str) -> [PathBuf; 3] {
    let old = cache.join("old");
    let directory = old.join(name);
    let file = directory.join("kept");
    fs::create_dir_all(&directory).unwrap();
    fs::write(&file, name).unwrap();
    [old, directory, file]
}

/// How much of a build is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// All that it did.
    All,
    /// Nothing.
    Nothing,
}

/// A cache that no build uses at the moment.
pub(super) struct Oracle {
    cache: PathBuf,
}

impl Oracle {
    pub(super) fn of(cache: PathBuf) -> Self {
        Self { cache }
    }

    /// Whether a build's work is there; anything between all and nothing is a failure, and so is half a file.
    pub(super) fn found(&self, name: &str) -> Found {
        let entry = self.cache.join("own").join(name);
        let source = self.cache.join(source(name));
        let kept = self.cache.join("old").join(name);
        let there = (entry.exists(), source.exists(), !kept.exists());
        match there {
            (true, true, true) => {
                assert_whole(&entry);
                assert_eq!(fs::read_to_string(source).unwrap(), name);
                Found::All
            }
            (false, false, false) => {
                assert_eq!(fs::read_to_string(kept.join("kept")).unwrap(), name);
                Found::Nothing
            }
            other => panic!("{name}: entry, source, removal: {other:?}"),
        }
    }

    /// Each file that all builds write is whole and the work of one of them, unless it is `spoilt`; no commit is staged.
    pub(super) fn assert_shared(&self, names: &BTreeSet<String>, spoilt: bool) {
        let mut by_file = BTreeMap::new();
        let directory = self.cache.join("gomodcache/cache/download/same/@v");
        for path in [self.cache.join("list")]
            .into_iter()
            .chain((1..=FILES).map(|n| directory.join(format!("{n}.zip"))))
        {
            if spoilt || !path.exists() {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let name = text.lines().next().unwrap_or_default().to_owned();
            assert!(names.contains(&name), "{}: {name}", path.display());
            assert!(text == format!("{name}\n").repeat(LINES), "{} is not whole", path.display());
            by_file.insert(path, name);
        }
        // It appeared as one directory: all of its files are one build's.
        let of_directory: BTreeSet<&String> =
            by_file.iter().filter(|(path, _)| path.starts_with(&directory)).map(|(_, name)| name).collect();
        assert!(of_directory.len() <= 1, "{by_file:?}");
        assert!(!self.cache.join(".kiln").exists(), "something is on its way");
    }
}

/// All files of an entry are what its list of sums says.
fn assert_whole(entry: &Path) {
    let sums = fs::read_to_string(entry.join("sums")).unwrap();
    assert_eq!(sums.lines().count(), FILES, "{}", entry.display());
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        assert_eq!(hex(&fs::read(entry.join(name)).unwrap()), sum, "{}: {name}", entry.display());
    }
}

fn source(content: &str) -> String {
    format!("sha256:{}", hex(content.as_bytes()))
}

fn hex(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}
