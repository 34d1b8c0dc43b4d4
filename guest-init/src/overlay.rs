//! Mounts an overlay: read-only layers below, a directory for writes on top.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use crate::targets::Targets;

/// The overlay of the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overlay<'w> {
    /// The lower directories, topmost first.
    pub(crate) lower: &'w [String],
    /// Where writes go.
    pub(crate) upper: &'w str,
    /// The work directory.
    pub(crate) work: &'w str,
    /// Where.
    pub(crate) target: &'w str,
    /// More options.
    pub(crate) options: &'w str,
    /// Whether no device file below it can be opened: in a sandbox, whose root might make a node for a device of the host.
    pub(crate) nodev: bool,
}

impl Overlay<'_> {
    /// Makes the directories, mounts, and gives the merged root to `owner`.
    pub(crate) fn mount(self, targets: &Targets, (uid, gid): (u32, u32)) -> Result<()> {
        let Self { lower: _, upper, work, target, options: _, nodev } = self;
        for directory in [upper, work] {
            fs::create_dir_all(directory).with_context(|| format!("make {directory}"))?;
        }
        let on = targets.directory(target)?;
        let data = self.data();
        let flags = if nodev { MsFlags::MS_NODEV } else { MsFlags::empty() };
        mount(Some("overlay"), on.path(), Some("overlay"), flags, Some(data.as_str()))
            .with_context(|| format!("mount overlay on {target} ({data})"))?;
        // What has been mounted is found by another look.
        let merged = targets.find(target)?;
        chown(merged.path(), Some(uid), Some(gid))
            .with_context(|| format!("give {target} to {uid}:{gid}"))?;
        fs::set_permissions(merged.path(), Permissions::from_mode(0o755))
            .with_context(|| format!("set the mode of {target}"))
    }

    /// The options as `mount(2)` takes them.
    fn data(self) -> String {
        let Self { lower, upper, work, target: _, options, nodev: _ } = self;
        let lower: Vec<String> = lower.iter().map(|path| escaped(path)).collect();
        let (upper, work) = (escaped(upper), escaped(work));
        let mut data = format!("lowerdir={},upperdir={upper},workdir={work}", lower.join(":"));
        for option in options.split(',').filter(|option| !option.is_empty()) {
            data.push(',');
            data.push_str(option);
        }
        data
    }
}

/// A path in overlay's options, where a comma ends an option and a colon a layer.
fn escaped(path: &str) -> String {
    path.chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '\\' | ',' | ':') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_overlayfs_with_awkward_paths_escaped() {
        let lower = ["/a,b".to_owned(), "/c:d\\e".to_owned()];
        let overlay = Overlay {
            lower: &lower,
            upper: "/u",
            work: "/w",
            target: "/t",
            options: "metacopy=on",
            nodev: true,
        };
        assert_eq!(overlay.data(), r"lowerdir=/a\,b:/c\:d\\e,upperdir=/u,workdir=/w,metacopy=on");
        let plain = Overlay { options: "", ..overlay };
        assert_eq!(plain.data(), r"lowerdir=/a\,b:/c\:d\\e,upperdir=/u,workdir=/w");
    }
}
