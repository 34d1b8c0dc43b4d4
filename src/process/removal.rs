//! Removing what a run wrote, whoever of this user's ids it belongs to. For the reaper, for kiln's own end, and for sweeps.

use std::{
    fs,
    io::{ErrorKind, Result},
    path::Path,
    process::{Command, Stdio},
};

/// Removes a file, or a directory with all below it. What is not there needs no removal.
///
/// # Errors
/// When something of it stays.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            fs::remove_dir_all(path).or_else(|_| remove_as_root_of_a_namespace(path))
        }
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// For what a sandbox of an ordinary user wrote: it belongs to ids of the user's range, or may not be looked at.
fn remove_as_root_of_a_namespace(path: &Path) -> Result<()> {
    let me = ["--map-user=0", "--map-group=0"].as_slice();
    for ids in [&[me, &["--map-auto"]].concat(), me] {
        let mut command = Command::new("unshare");
        command
            .env("PATH", "/usr/bin:/bin")
            .arg("--user")
            .args(ids)
            .args(["--", "rm", "-rf", "--"])
            .arg(path);
        // Best effort: a user without a range has no ids but their own, and the second way is theirs.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    fs::remove_dir_all(path)
}
