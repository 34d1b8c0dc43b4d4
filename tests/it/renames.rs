//! Directories that source and cache held before the build, and that a step renames with rename(2), which `mv` alone does
//! without.

use std::{fs, path::Path};

/// Renames one, changes it, and renames what was in it.
pub(crate) const STEP: &str = "for base in /home/build /var/cache/melange; do
  cd $base
  perl -e 'rename \"held\", \"moved\" or die \"held: $!\\n\"'
  test \"$(cat moved/sub/deep/file)\" = held
  echo more >> moved/sub/deep/file
  echo new > moved/new
  rm moved/gone
  perl -e 'rename \"moved/sub\", \"sub\" or die \"sub: $!\\n\"'
done";

/// [`STEP`] for the cache alone, by mv(1).
pub(crate) fn with_mv() -> String {
    let step = STEP.replace("for base in /home/build /var/cache/melange", "for base in /var/cache/melange");
    let moves = [("held", "moved", "held"), ("moved/sub", "sub", "sub")];
    moves.into_iter().fold(step, |step, (from, to, word)| {
        let rename = format!("perl -e 'rename \"{from}\", \"{to}\" or die \"{word}: $!\\n\"'");
        assert!(step.contains(&rename), "{rename}");
        step.replace(&rename, &format!("mv {from} {to}"))
    })
}

/// Fills the source and the cache.
pub(crate) fn fill(project: &Path) {
    for base in [project.to_owned(), project.join("cache")] {
        fs::create_dir_all(base.join("held/sub/deep")).expect("made");
        for (name, text) in [("held/sub/deep/file", "held\n"), ("held/top", "top\n"), ("held/gone", "")] {
            fs::write(base.join(name), text).expect("written");
        }
    }
}

/// The cache has what the step made of it, and nothing else; the source is as it was.
pub(crate) fn check_kept(project: &Path) {
    let expected = [("moved/new", "new\n"), ("moved/top", "top\n"), ("sub/deep/file", "held\nmore\n")];
    assert_eq!(
        files(&project.join("cache")),
        expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
    );
    check_source(project);
}

/// The cache and the source are as they were.
pub(crate) fn check_discarded(project: &Path) {
    let expected = [("held/gone", ""), ("held/sub/deep/file", "held\n"), ("held/top", "top\n")];
    assert_eq!(
        files(&project.join("cache")),
        expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
    );
    check_source(project);
}

fn check_source(project: &Path) {
    assert_eq!(fs::read_to_string(project.join("held/sub/deep/file")).expect("it is there"), "held\n");
}

/// The files below a directory, sorted, but for kiln's own.
fn files(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            let name = path.strip_prefix(directory).expect("it lies below").display().to_string();
            match path.is_dir() {
                true if name == ".kiln" || name == "cargo" => {}
                true => pending.push(path),
                false => found.push((name, fs::read_to_string(&path).expect("it can be read"))),
            }
        }
    }
    found.sort();
    found
}
