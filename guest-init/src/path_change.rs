//! Changes of the root's files by a build file (`environment.paths`), as apko makes them in an image.
//!
//! A path on another file system than the root (the workspace, the cache) is refused, since it may be the host's. Exceptions are
//! /run and /tmp, which are new for each build.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use kiln_protocol::{PathChange, PathKind};
use kiln_reads::unescape;

/// File systems that belong to the build alone, besides the root.
const OWN: [&str; 2] = ["/run", "/tmp"];

/// Makes one change. What is made without an owner belongs to `root`.
pub(crate) fn make(change: &PathChange, root: (u32, u32)) -> Result<()> {
    let PathChange { path, kind, .. } = change;
    let (word, recursive) = match kind {
        PathKind::Directory { recursive } => ("directory", *recursive),
        PathKind::EmptyFile => ("empty-file", false),
        PathKind::HardLink { .. } => ("hardlink", false),
        PathKind::Symlink { .. } => ("symlink", false),
        PathKind::Permissions { recursive } => ("permissions", *recursive),
    };
    let make = || {
        let mounts = Mounts::read()?;
        let is_there = fs::symlink_metadata(path).is_ok() && !matches!(kind, PathKind::Symlink { .. });
        let is_new = !is_there && !matches!(kind, PathKind::HardLink { .. });
        let path = create(change, &mounts)?;
        let owner = change.owner.or(is_new.then_some(root));
        settle(&path, &PathChange { owner, ..change.clone() }, recursive, &mounts)
    };
    make().with_context(|| format!("environment.paths: {word} {path}"))
}

/// Makes the file of a change. Returns its path without links.
fn create(PathChange { path, kind, .. }: &PathChange, mounts: &Mounts) -> Result<PathBuf> {
    let written = Path::new(path);
    let (Some(parent), Some(name)) = (written.parent(), written.file_name()) else {
        ensure!(matches!(kind, PathKind::Directory { .. } | PathKind::Permissions { .. }), "it is there");
        return Ok("/".into());
    };
    make_parents(parent, mounts)?;
    let path = mounts.own(parent)?.join(name);
    match kind {
        PathKind::Directory { .. } => {
            if !path.is_dir() {
                fs::create_dir(&path)?;
            }
        }
        PathKind::EmptyFile => {
            remove_link(&path)?;
            File::create(&path)?;
        }
        PathKind::HardLink { source } => {
            let source = Path::new(source);
            let (Some(parent), Some(name)) = (source.parent(), source.file_name()) else {
                bail!("{} is not a file", source.display())
            };
            let source = mounts.own(parent)?.join(name);
            remove(&path)?;
            fs::hard_link(&source, &path).with_context(|| format!("link {}", source.display()))?;
        }
        PathKind::Symlink { target } => {
            remove(&path)?;
            symlink(target, &path)?;
            return Ok(path);
        }
        PathKind::Permissions { .. } => {}
    }
    mounts.own(&path)
}

/// `mkdir -p`, one directory at a time: each parent is checked before a directory is made in it.
fn make_parents(path: &Path, mounts: &Mounts) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    for directory in missing.into_iter().rev() {
        mounts.own(directory.parent().unwrap_or(Path::new("/")))?;
        fs::create_dir(directory).with_context(|| format!("make {}", directory.display()))?;
        fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The mount points of file systems that do not belong to the build alone.
pub(crate) struct Mounts(Vec<PathBuf>);

impl Mounts {
    fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        // The fifth field (proc_pid_mountinfo(5)).
        let points = text.lines().filter_map(|line| Some(PathBuf::from(unescape(line.split(' ').nth(4)?))));
        let is_own = |point: &PathBuf| ["/"].iter().chain(&OWN).any(|own| point == Path::new(own));
        Ok(Self(points.filter(|point| !is_own(point)).collect()))
    }

    /// Refuses a path that a link of the image leads into a mount: the agent may write there, and steps may not.
    pub(crate) fn refuse_detour(path: &Path) -> Result<()> {
        let there = path.ancestors().find(|there| there.exists()).unwrap_or(path);
        match fs::canonicalize(there) {
            Ok(found) if found == there => Ok(()),
            _ => Self::read()?.own(there).map(drop),
        }
    }

    /// The path without links, if it lies on a file system of the build.
    fn own(&self, path: &Path) -> Result<PathBuf> {
        let found = fs::canonicalize(path).with_context(|| format!("look for {}", path.display()))?;
        match self.0.iter().find(|point| found.starts_with(point)) {
            Some(point) => bail!("{} is a mount of this build, not the image's", point.display()),
            None => Ok(found),
        }
    }
}

/// Removes a link or file.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes a symbolic link, so that nothing is written through it.
fn remove_link(path: &Path) -> io::Result<()> {
    if path.is_symlink() { fs::remove_file(path) } else { Ok(()) }
}

/// Owner, then mode: a change of owner takes set-id bits away.
fn settle(path: &Path, change: &PathChange, recursive: bool, mounts: &Mounts) -> Result<()> {
    let PathChange { mode, owner, .. } = change;
    let metadata = fs::symlink_metadata(path)?;
    if let Some((uid, gid)) = owner {
        lchown(path, Some(*uid), Some(*gid))
            .with_context(|| format!("change the owner of {} to {uid}:{gid}", path.display()))?;
    }
    if !metadata.is_symlink() {
        fs::set_permissions(path, Permissions::from_mode(mode.unwrap_or(metadata.mode() & 0o7777)))?;
    }
    if !recursive || !metadata.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let below = entry?.path();
        if !mounts.0.contains(&below) {
            settle(&below, change, recursive, mounts)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made belongs to the user of the test.
    fn make(change: &PathChange) -> Result<()> {
        super::make(change, (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw()))
    }

    fn change(path: &Path, kind: PathKind, mode: Option<u32>) -> PathChange {
        let metadata = fs::metadata(path.parent().expect("it has one")).expect("it is there");
        let owner = Some((metadata.uid(), metadata.gid()));
        PathChange { path: path.to_string_lossy().into_owned(), kind, mode, owner }
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
    }

    #[test]
    fn each_kind_makes_its_file_and_is_idempotent() {
        let root = tempfile::tempdir_in("/tmp").expect("a directory");
        let at = |name: &str| root.path().join(name);
        for _ in 0..2 {
            make(&change(&at("d"), PathKind::Directory { recursive: false }, Some(0o1750))).expect("made");
            make(&change(&at("d/e"), PathKind::EmptyFile, Some(0o4711))).expect("made");
            make(&change(
                &at("d/h"),
                PathKind::HardLink { source: at("d/e").to_string_lossy().into() },
                None,
            ))
            .expect("made");
            make(&change(&at("d/s"), PathKind::Symlink { target: "e".into() }, Some(0o600))).expect("made");
            assert_eq!((mode(&at("d")), mode(&at("d/e"))), (0o1750, 0o4711));
            assert_eq!(fs::metadata(at("d/h")).expect("there").nlink(), 2);
            assert_eq!(fs::read_link(at("d/s")).expect("a link"), Path::new("e"));
        }
        let only = |recursive| PathKind::Permissions { recursive };
        make(&change(&at("d/e"), only(false), Some(0o600))).expect("made");
        assert_eq!((mode(&at("d/e")), mode(&at("d"))), (0o600, 0o1750));
        make(&change(&at("d"), PathKind::Directory { recursive: true }, Some(0o700))).expect("made");
        assert_eq!((mode(&at("d")), mode(&at("d/e")), mode(&at("d/h"))), (0o700, 0o700, 0o700));
        // Without an owner, only the mode is set; a link that is met stays as it is.
        let below = PathChange { owner: None, ..change(&at("d"), only(true), Some(0o750)) };
        make(&below).expect("made");
        assert_eq!((mode(&at("d")), mode(&at("d/e")), mode(&at("d/s"))), (0o750, 0o750, 0o777));
        make(&PathChange { kind: only(false), mode: Some(0o711), ..below }).expect("made");
        assert_eq!((mode(&at("d")), mode(&at("d/e"))), (0o711, 0o750));
    }

    #[test]
    fn parents_are_made_and_links_followed_within_the_root_only() {
        let root = tempfile::tempdir_in("/tmp").expect("a directory");
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("real")).expect("made");
        symlink("real", at("link")).expect("linked");
        symlink("/proc/self", at("proc")).expect("linked");
        let made = PathChange {
            path: at("link/a/b").to_string_lossy().into(),
            ..change(&at("x"), PathKind::EmptyFile, None)
        };
        make(&made).expect("made");
        assert_eq!(mode(&at("real/a")), 0o755);
        for path in ["/proc/x", "/proc/self/x/y", "/sys/x"] {
            let made = PathChange { path: path.into(), ..made.clone() };
            let error = format!("{:#}", make(&made).expect_err("it is a mount"));
            assert!(error.starts_with(&format!("environment.paths: empty-file {path}: ")), "{error}");
        }
        let through = PathChange { path: at("proc/x").to_string_lossy().into(), ..made };
        assert!(
            format!("{:#}", make(&through).expect_err("it leads out")).contains("is a mount of this build")
        );
        let absent = change(&at("absent"), PathKind::Permissions { recursive: false }, Some(0o600));
        make(&absent).expect_err("it is not there");
    }
}
