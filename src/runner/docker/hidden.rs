//! What the build must not see of its source: a layer of whiteouts (character devices 0:0, which Linux from 5.8 on lets
//! everybody make) above it. Each hides what bears its name, however much lies below.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Component, Path},
};

use anyhow::{Context, Result, ensure};
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::exit::Failure;

/// Makes the layer `directory` that hides `paths` of the tree `like`.
pub(super) fn make(directory: &Path, like: &Path, paths: &[String]) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    resemble(directory, like)?;
    for path in paths {
        let path = Path::new(path);
        ensure!(
            path.components().all(|part| matches!(part, Component::Normal(_))),
            "{} leads out",
            path.display()
        );
        if fs::symlink_metadata(like.join(path)).is_err() {
            continue;
        }
        let mut parents: Vec<&Path> =
            path.ancestors().skip(1).filter(|at| !at.as_os_str().is_empty()).collect();
        while let Some(parent) = parents.pop() {
            let made = directory.join(parent);
            if !made.exists() {
                fs::create_dir(&made).with_context(|| format!("make {}", made.display()))?;
                resemble(&made, &like.join(parent))?;
            }
        }
        mknod(&directory.join(path), SFlag::S_IFCHR, Mode::empty(), 0).map_err(|error| {
            Failure::host(
                format!("{} cannot be hidden from the build: a whiteout cannot be made: {error}", path.display()),
                "as an ordinary user that takes Linux 5.8 and a file system with device files: set KILN_HOME to one",
            )
        })?;
    }
    Ok(())
}

/// A merged directory shows what its topmost layer says of it.
fn resemble(made: &Path, like: &Path) -> Result<()> {
    let context = || format!("make {} like {}", made.display(), like.display());
    let metadata = fs::metadata(like).with_context(context)?;
    // Best effort: an ordinary user gives nothing away; the agent gives all of it to the step's user.
    drop(chown(made, Some(std::os::unix::fs::MetadataExt::uid(&metadata)), None));
    fs::set_permissions(made, Permissions::from_mode(metadata.permissions().mode() & 0o7777))
        .with_context(context)?;
    let times = fs::FileTimes::new()
        .set_modified(metadata.modified().with_context(context)?)
        .set_accessed(metadata.accessed().with_context(context)?);
    fs::File::open(made).and_then(|file| file.set_times(times)).with_context(context)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    #[test]
    fn a_whiteout_lies_where_something_is_to_be_hidden() {
        let work = tempfile::tempdir().expect("a directory");
        let (like, layer) = (work.path().join("like"), work.path().join("layer"));
        fs::create_dir_all(like.join("a/b")).expect("made");
        fs::write(like.join("a/b/c"), "").expect("written");
        fs::set_permissions(like.join("a"), Permissions::from_mode(0o750)).expect("set");
        make(&layer, &like, &["a/b/c".into(), "not/there".into(), "a/b".into()][..2]).expect("made");
        assert!(fs::symlink_metadata(layer.join("a/b/c")).expect("there").file_type().is_char_device());
        assert_eq!(fs::metadata(layer.join("a")).expect("there").permissions().mode() & 0o7777, 0o750);
        assert!(!layer.join("not").exists());
        assert!(make(&layer, &like, &["../out".into()]).is_err());
    }
}
