//! Writes the small files of the guest (`/etc/resolv.conf`, `/etc/hosts`, …).

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result};
use kiln_protocol::{IfExists, TextFile};
use nix::libc;

use crate::path_change::Mounts;

/// Writes one file; a symbolic link of its name is replaced.
pub(crate) fn write(file: &TextFile) -> Result<()> {
    let TextFile { path, text, if_exists, mode } = file;
    let context = || format!("write {path}");
    let before = match if_exists {
        IfExists::Replace => Vec::new(),
        IfExists::Append => lines(Path::new(path)).with_context(|| format!("read {path}"))?,
    };
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent).with_context(context)?;
        Mounts::refuse_detour(parent).with_context(context)?;
    }
    if Path::new(path).is_symlink() {
        fs::remove_file(path).with_context(context)?;
    }
    // Written, not replaced by rename(2): in a container the file may be a mount of its own.
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_NOFOLLOW);
    let mut written = options.open(path).with_context(context)?;
    written.write_all(&before).and_then(|()| written.write_all(text.as_bytes())).with_context(context)?;
    written.set_permissions(Permissions::from_mode(*mode)).with_context(context)
}

/// Writes the files of a step: all, or none.
pub(crate) fn write_all(files: &[TextFile]) -> Result<()> {
    files.iter().try_for_each(write).inspect_err(|_| remove_all(files))
}

/// Removes the files of a step.
pub(crate) fn remove_all(files: &[TextFile]) {
    for TextFile { path, .. } in files {
        // Best effort: the step may have removed it, and nothing depends on its absence.
        drop(fs::remove_file(path));
    }
}

/// The content of a file, with a newline after its last line; nothing where the file is missing.
fn lines(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    if bytes.last().is_some_and(|&last| last != b'\n') {
        bytes.push(b'\n');
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_its_target_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (target, link) = (directory.path().join("target"), directory.path().join("new/link"));
        fs::write(&target, "old").expect("written");
        fs::create_dir(directory.path().join("new")).expect("made");
        symlink(&target, &link).expect("linked");
        let path = link.to_string_lossy().into_owned();
        let put = |text: &str, if_exists| {
            write(&TextFile { path: path.clone(), text: text.into(), if_exists, mode: 0o640 })
                .expect("written");
            fs::read_to_string(&link).expect("read")
        };
        assert_eq!(put("a longer text", IfExists::Replace), "a longer text");
        assert_eq!(put("short", IfExists::Replace), "short");
        assert_eq!(put("more\n", IfExists::Append), "short\nmore\n");
        fs::remove_file(&link).expect("removed");
        assert_eq!(put("first\n", IfExists::Append), "first\n");
        fs::remove_file(&link).expect("removed");
        symlink(&target, &link).expect("linked");
        assert_eq!(put("after", IfExists::Append), "old\nafter");
        assert_eq!(fs::read_to_string(&target).expect("read"), "old");
        let metadata = fs::symlink_metadata(&link).expect("there");
        assert!(metadata.is_file());
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    }
}
