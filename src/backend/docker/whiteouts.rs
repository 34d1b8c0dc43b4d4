//! Layers above a directory, whose whiteouts hide entries from the build. A whiteout is a character device 0:0, which any user may
//! make since Linux 5.8. It hides the whole tree of its name.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Component, Path},
};

use anyhow::{Context, Result, ensure};
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::{
    exit::Failure,
    plan::{Layer, Subset},
};

/// Makes a layer in `directory`, for the tree `lower`.
pub(super) fn make(directory: &Path, lower: &Path, layer: &Layer) -> Result<()> {
    let Layer { hidden, subset } = layer;
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    copy_metadata(directory, lower)?;
    hidden.iter().try_for_each(|path| hide(directory, lower, Path::new(path)))?;
    subset.iter().try_for_each(|subset| hide_others(directory, lower, subset))
}

/// Hides one path, if its parent directory exists.
fn hide(layer: &Path, lower: &Path, path: &Path) -> Result<()> {
    ensure!(
        path.components().all(|part| matches!(part, Component::Normal(_))),
        "{} leads out of the directory",
        path.display()
    );
    // In an existing directory an entry that is made later is hidden as well.
    let parent = path.parent().unwrap_or(Path::new(""));
    if !fs::symlink_metadata(lower.join(parent)).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    let mut parents: Vec<&Path> = path.ancestors().skip(1).filter(|at| !at.as_os_str().is_empty()).collect();
    while let Some(parent) = parents.pop() {
        directory(layer, lower, parent)?;
    }
    mknod(&layer.join(path), SFlag::S_IFCHR, Mode::empty(), 0).map_err(|error| {
        Failure::host(
            format!("{} cannot be hidden from the build: a whiteout cannot be made: {error}", path.display()),
            "as an ordinary user that takes Linux 5.8 and a file system with device files: set KILN_HOME to one",
        )
    })?;
    Ok(())
}

/// Hides all entries of a directory but those of the subset. Makes the directory in any case.
fn hide_others(layer: &Path, lower: &Path, subset: &Subset) -> Result<()> {
    let Subset { directory: name, shown } = subset;
    let name = Path::new(name);
    directory(layer, lower, name)?;
    // The directory itself hides a link or file of its name.
    let tree = lower.join(name);
    if fs::symlink_metadata(&tree).is_ok_and(|metadata| metadata.is_dir()) {
        for entry in fs::read_dir(&tree).with_context(|| format!("list {}", tree.display()))? {
            let entry_name = entry.with_context(|| format!("list {}", tree.display()))?.file_name();
            if !shown.iter().any(|shown| entry_name == shown.as_str()) {
                hide(layer, lower, &name.join(entry_name))?;
            }
        }
    }
    Ok(())
}

/// Makes a directory of the layer if it is missing.
fn directory(layer: &Path, lower: &Path, path: &Path) -> Result<()> {
    let made = layer.join(path);
    if made.exists() {
        return Ok(());
    }
    fs::create_dir(&made).with_context(|| format!("make {}", made.display()))?;
    let lower = lower.join(path);
    if fs::symlink_metadata(&lower).is_ok_and(|metadata| metadata.is_dir()) {
        copy_metadata(&made, &lower)
    } else {
        Ok(())
    }
}

/// Copies mode, times and owner: a merged directory has those of its topmost layer.
fn copy_metadata(made: &Path, lower: &Path) -> Result<()> {
    let context = || format!("make {} like {}", made.display(), lower.display());
    let metadata = fs::metadata(lower).with_context(context)?;
    // Best effort: an ordinary user may not change the owner. The agent changes it to the step's user.
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

    fn is_whiteout(path: &Path) -> bool {
        fs::symlink_metadata(path).expect("there").file_type().is_char_device()
    }

    #[test]
    fn whiteouts_hide_existing_and_later_entries() {
        let work = tempfile::tempdir().expect("a directory");
        let (lower, layer) = (work.path().join("lower"), work.path().join("layer"));
        fs::create_dir_all(lower.join("a/b")).expect("made");
        fs::write(lower.join("a/b/c"), "").expect("written");
        fs::set_permissions(lower.join("a"), Permissions::from_mode(0o750)).expect("set");
        let hides =
            |paths: &[&str]| Layer { hidden: paths.iter().map(|p| (*p).into()).collect(), subset: None };
        make(&layer, &lower, &hides(&["a/b/c", "a/later", "not/there"])).expect("made");
        assert!(is_whiteout(&layer.join("a/b/c")) && is_whiteout(&layer.join("a/later")));
        assert_eq!(fs::metadata(layer.join("a")).expect("there").permissions().mode() & 0o7777, 0o750);
        assert!(!layer.join("not").exists());
        assert!(make(&layer, &lower, &hides(&["../out"])).is_err());
    }

    #[test]
    fn a_subset_shows_only_its_entries() {
        let work = tempfile::tempdir().expect("a directory");
        let (lower, layer) = (work.path().join("lower"), work.path().join("layer"));
        let subset = Subset { directory: "cargo".into(), shown: vec!["registry".into(), "git".into()] };
        let only = Layer { hidden: Vec::new(), subset: Some(subset) };
        fs::create_dir_all(lower.join("cargo/bin")).expect("made");
        fs::create_dir_all(lower.join("cargo/registry")).expect("made");
        fs::write(lower.join("cargo/.crates.toml"), "").expect("written");
        make(&layer, &lower, &only).expect("made");
        for name in ["bin", ".crates.toml"] {
            assert!(is_whiteout(&layer.join("cargo").join(name)), "{name}");
        }
        assert!(!layer.join("cargo/registry").exists());
        // A link that a hostile build left in its place is neither followed nor visible.
        let (lower, layer) = (work.path().join("other"), work.path().join("other-layer"));
        fs::create_dir(&lower).expect("made");
        std::os::unix::fs::symlink("/etc", lower.join("cargo")).expect("linked");
        make(&layer, &lower, &only).expect("made");
        assert_eq!(fs::read_dir(layer.join("cargo")).expect("there").count(), 0);
    }
}
