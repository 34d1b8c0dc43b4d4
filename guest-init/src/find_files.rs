//! Finds files by words in their names, for the host: those with the text of a licence in the workspace.
//!
//! Steps choose what lies there: no link is followed, and the number of names is limited.

use std::{ffi::CStr, path::Path};

use kiln_protocol::{MAX_FILE, MAX_FOUND};
use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::stat::{Mode, SFlag, fstatat},
};

/// The most names that are looked at: trees of sources have fewer in their first two levels. By a share a guest lists 50,000 to
/// 100,000 names a second, and a build must not wait for those of a large tree.
const MOST_NAMES: usize = 1 << 12;
const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);

/// The files of a directory and of the directories in it, of at most [`MAX_FILE`] bytes. What cannot be listed has none.
pub(crate) fn find(root: &str, words: &[String]) -> Vec<String> {
    let Ok(mut root) = Dir::open(Path::new(root), DIRECTORY, Mode::empty()) else { return Vec::new() };
    let mut search = Search { words, names: MOST_NAMES, found: Vec::new() };
    let directories = search.list(&mut root, "");
    for name in directories {
        // To open a directory of an overlay costs as much as to list all of it.
        if search.names == 0 {
            break;
        }
        // A step that still runs may have removed it.
        if let Ok(mut directory) = Dir::openat(&root, &*name, DIRECTORY, Mode::empty()) {
            search.list(&mut directory, &format!("{name}/"));
        }
    }
    search.found.sort();
    search.found.truncate(MAX_FOUND);
    search.found
}

struct Search<'w> {
    words: &'w [String],
    /// How many names may still be looked at.
    names: usize,
    found: Vec<String>,
}

impl Search<'_> {
    /// Adds the files of a directory, and names the directories in it.
    fn list(&mut self, directory: &mut Dir, prefix: &str) -> Vec<String> {
        let (mut candidates, mut directories) = (Vec::new(), Vec::new());
        for entry in directory.iter().map_while(Result::ok) {
            let Some(left) = self.names.checked_sub(1) else { break };
            self.names = left;
            let Ok(name) = entry.file_name().to_str() else { continue };
            match entry.file_type() {
                Some(Type::Directory) if name != "." && name != ".." => directories.push(name.to_owned()),
                Some(Type::File) | None if self.has_word(name) => {
                    candidates.push(entry.file_name().to_owned());
                }
                _ => {}
            }
        }
        for name in candidates {
            if is_small_file(directory, &name) == Ok(true) {
                self.found.push(format!("{prefix}{}", name.to_string_lossy()));
            }
        }
        directories.sort();
        directories
    }

    fn has_word(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.words.iter().any(|word| name.contains(word.as_str()))
    }
}

fn is_small_file(directory: &Dir, name: &CStr) -> Result<bool, Errno> {
    let stat = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let is_file = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    Ok(is_file && usize::try_from(stat.st_size).is_ok_and(|size| size <= MAX_FILE))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::unistd::mkfifo;

    use super::*;

    fn words() -> Vec<String> {
        vec!["licen".into(), "copying".into()]
    }

    #[test]
    fn regular_files_of_two_levels_are_found_by_their_names() {
        let all = tempfile::tempdir().expect("a directory");
        let root = all.path().join("root");
        fs::create_dir_all(root.join("below/deeper")).expect("made");
        fs::create_dir_all(root.join("LICENSES")).expect("made");
        fs::create_dir_all(all.path().join("outside")).expect("made");
        for path in ["LICENSE", "Copying.txt", "readme", "below/licence", "below/deeper/LICENSE"] {
            fs::write(root.join(path), "text").expect("written");
        }
        fs::write(all.path().join("outside/LICENSE"), "no").expect("written");
        fs::write(root.join("large-license"), vec![0; MAX_FILE + 1]).expect("written");
        symlink("LICENSE", root.join("LICENSE-link")).expect("linked");
        symlink("../outside", root.join("directory")).expect("linked");
        mkfifo(&root.join("LICENSE-fifo"), Mode::S_IRUSR).expect("made");
        let found = find(root.to_str().expect("it is UTF-8"), &words());
        assert_eq!(found, ["Copying.txt", "LICENSE", "below/licence"]);
    }

    #[test]
    fn the_number_of_files_is_limited_and_a_missing_directory_has_none() {
        let root = tempfile::tempdir().expect("a directory");
        for number in 0..MAX_FOUND + 10 {
            fs::write(root.path().join(format!("license-{number:03}")), "").expect("written");
        }
        let found = find(root.path().to_str().expect("it is UTF-8"), &words());
        assert_eq!(found.len(), MAX_FOUND);
        assert_eq!(found.first().map(String::as_str), Some("license-000"));
        assert!(find("/missing", &words()).is_empty());
    }
}
