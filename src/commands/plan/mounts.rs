//! Mounts and binds of a plan in words, one line each: what is where, and whether it can be written. Pure.

use kiln_protocol::{Access, ChownScope, IdRange, Mount, PathChange, PathKind};

use crate::plan::{Bind, BindSource, Layer, Writes};

/// One thing that the agent mounts or makes, as `target  what`.
pub(super) fn mount(mount: &Mount) -> String {
    let (target, what) = words(mount);
    format!("{target:<42} {what}")
}

fn words(mount: &Mount) -> (&str, String) {
    match mount {
        Mount::Directory { path, mode, uid, gid } => (path, made("directory", *mode, *uid, *gid)),
        Mount::EnsureDir { path, mode, uid, gid } => (path, made("directory, if missing", *mode, *uid, *gid)),
        Mount::Filesystem { source, target, fstype, options, access } => {
            let options = if options.is_empty() { String::new() } else { format!(" ({options})") };
            (target, format!("{fstype} {source}, {}{options}", access_word(*access)))
        }
        Mount::Overlay { lower, upper, work: _, target, options, nodev, owner: (uid, gid) } => {
            let lower = lower.join(" over ");
            let options = if *nodev { format!("nodev,{options}") } else { options.clone() };
            (target, format!("overlay: {upper} over {lower}, owner {uid}:{gid} ({options})"))
        }
        Mount::Idmap { path, uids, gids } => {
            (path, format!("idmapped: uids {}; gids {}", ranges(uids), ranges(gids)))
        }
        Mount::Bind { source, target, access } => {
            (target, format!("bind of {source}, {}", access_word(*access)))
        }
        Mount::Whiteouts { directory, like: _, paths } => {
            (directory, format!("whiteouts: {}", paths.join(", ")))
        }
        Mount::MaskPath { path } => (path, "empty directory over it, read-only".into()),
        Mount::Symlink { path, target } => (path, format!("symbolic link to {target}, if missing")),
        Mount::Chown { path, uid, gid, scope } => {
            let what = match scope {
                ChownScope::Everything => "everything below",
                ChownScope::Directories => "the directories below",
            };
            (path, format!("chown of {what} to {uid}:{gid}"))
        }
        Mount::Root { path } => (path, "becomes / (with /proc, /sys, /dev, /run, /tmp)".into()),
        Mount::Pivot { path } => (path, "becomes / (pivot_root; with /proc, /sys, /dev, /run, /tmp)".into()),
        Mount::Path(change) => (&change.path, changed(change)),
        Mount::Upper { target, path } => (target, format!("mounted by the runner; its writes lie in {path}")),
    }
}

/// Runs of ids, each as `FIRST-LAST as FIRST`.
fn ranges(ranges: &[IdRange]) -> String {
    let range = |IdRange { from, to, count }: &IdRange| {
        format!("{from}-{} as {to}", u64::from(*from) + u64::from(*count).saturating_sub(1))
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// A path of the build file's `environment.paths`.
fn changed(PathChange { path: _, kind, mode, owner }: &PathChange) -> String {
    let what = match kind {
        PathKind::Directory { recursive: false } => "directory".into(),
        PathKind::Directory { recursive: true } => "directory, with all below it".into(),
        PathKind::EmptyFile => "empty file".into(),
        PathKind::HardLink { source } => format!("hard link to {source}"),
        PathKind::Symlink { target } => format!("symbolic link to {target}"),
        PathKind::Permissions { recursive: false } => "what is there".into(),
        PathKind::Permissions { recursive: true } => "what is there, with all below it".into(),
    };
    let mode = mode.map_or(String::new(), |mode| format!(", mode {mode:04o}"));
    let owner = owner.map_or(String::new(), |(uid, gid)| format!(", owner {uid}:{gid}"));
    format!("{what}{mode}{owner}")
}

/// Modes are octal, as chmod(1) takes them.
fn made(what: &str, mode: u32, uid: u32, gid: u32) -> String {
    format!("{what}, mode {mode:04o}, owner {uid}:{gid}")
}

fn access_word(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "read-only",
        Access::ReadWrite => "read-write",
    }
}

/// Something of the host in a container or sandbox, as `target  what`.
pub(super) fn bind(Bind { source, target, writes }: &Bind) -> String {
    let source = match source {
        BindSource::Agent => "the agent's program".into(),
        BindSource::Root => "the image".into(),
        BindSource::Scratch => "a scratch directory of this run".into(),
        BindSource::Directory(path) => path.display().to_string(),
        BindSource::Below { directory, path } => directory.join(path).display().to_string(),
    };
    let writes = match writes {
        Writes::Refused => "read-only".into(),
        Writes::ReadOnlyOverlay(layer) => format!("read-only{}", hidden(layer)),
        Writes::Through => "read-write".into(),
        Writes::Overlaid(overlay) => format!("writes go to an overlay{}", hidden(&overlay.layer)),
    };
    format!("{target:<42} {source}, {writes}")
}

fn hidden(Layer { hidden, subset }: &Layer) -> String {
    let mut text = String::new();
    if !hidden.is_empty() {
        text += &format!(", without {}", hidden.join(", "));
    }
    if let Some(subset) = subset {
        text += &format!(", of {} only {}", subset.directory, subset.shown.join(", "));
    }
    text
}
