//! Files that readers see whole or not at all: written under a temporary name of the same directory, then renamed.
//!
//! Before it: the content. After it: the stores of kiln's home. Writers of the same path replace each other's file; the last
//! rename wins.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, Result};

/// The mode of a program that every user may start.
const PROGRAM: u32 = 0o755;

/// The part of a file that is on disk when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Perhaps none: the file can be made again.
    Cache,
    /// The content, if the name is: after a power cut the file is complete or missing.
    Content,
    /// The content and the name.
    ContentAndName,
}

/// Writes a file (0600). Directories above it are made.
pub fn write_atomically(path: &Path, content: &[u8], durability: Durability) -> Result<()> {
    write(path, content, None, durability).with_context(|| format!("write {}", path.display()))
}

/// Writes a program, which can be made again.
pub fn write_program_atomically(path: &Path, content: &[u8]) -> Result<()> {
    write(path, content, Some(PROGRAM), Durability::Cache)
        .with_context(|| format!("write {}", path.display()))
}

fn write(path: &Path, content: &[u8], mode: Option<u32>, durability: Durability) -> Result<()> {
    let directory = path.parent().context("it has no directory")?;
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    if let Some(mode) = mode {
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    if durability != Durability::Cache {
        file.as_file().sync_all()?;
    }
    // The descriptor is closed first: a program that is open for writing cannot be started (ETXTBSY).
    // Only the cause of the error is kept, since the error itself owns the temporary file.
    file.into_temp_path().persist(path).map_err(|error| error.error)?;
    if durability == Durability::ContentAndName {
        sync_directory(directory)?;
    }
    Ok(())
}

/// Writes the names of a directory to disk.
pub fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("write {} to disk", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_atomically_and_nothing_else_is_left() {
        let root = tempfile::tempdir().expect("made");
        let path = root.path().join("a/b/c");
        write_atomically(&path, b"first", Durability::Content).expect("written");
        let first = File::open(&path).expect("there");
        write_atomically(&path, b"second", Durability::ContentAndName).expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"second");
        assert_eq!(first.metadata().expect("still open").nlink(), 0, "the first file was written again");
        assert_eq!(fs::read_dir(root.path().join("a/b")).expect("there").count(), 1);
    }

    #[test]
    fn only_a_program_can_be_read_and_started_by_others() {
        let root = tempfile::tempdir().expect("made");
        let mode = |name: &str| fs::metadata(root.path().join(name)).expect("there").mode() & 0o7777;
        write_atomically(&root.path().join("text"), b"x", Durability::Cache).expect("written");
        write_program_atomically(&root.path().join("program"), b"x").expect("written");
        assert_eq!((mode("text"), mode("program")), (0o600, 0o755));
    }

    #[test]
    fn a_failed_write_leaves_no_file_and_names_the_path() {
        let root = tempfile::tempdir().expect("made");
        let path = root.path().join("taken");
        fs::create_dir_all(path.join("by a directory")).expect("made");
        let error = write_atomically(&path, b"x", Durability::Cache).expect_err("a directory is in the way");
        assert!(format!("{error:#}").starts_with(&format!("write {}", path.display())), "{error:#}");
        assert_eq!(fs::read_dir(root.path()).expect("there").count(), 1);
    }
}
