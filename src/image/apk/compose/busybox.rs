//! The links to busybox that its package's trigger would make: scripts of packages do not run.

use std::fs::File;

use crate::image::erofs::{Kind, Node};

use super::{
    super::package::Package,
    base::read,
    root::{Fault, Found, Root, parts},
};

const BUSYBOX: &[u8] = b"bin/busybox";
/// The most links; busybox has about 400 applets.
const MOST_LINKS: usize = 4096;

/// The paths of applets for packages that do not say them, as busybox's sources have them (`//applet:`): one a line, with the first
/// version that has it, if that is not the first one here.
const PATHS: &str = include_str!("busybox-paths.txt");
/// The versions whose applets are known. Any other one is taken for the last.
const VERSIONS: [&str; 8] = ["1.32.1", "1.33.0", "1.33.1", "1.33.2", "1.34.0", "1.34.1", "1.35.0", "1.36.0"];

/// The paths of a version's applets.
fn known_paths(version: &str) -> Vec<&'static str> {
    let number = version.split('-').next().unwrap_or_default();
    let place = |wanted: &str| VERSIONS.iter().position(|known| *known == wanted);
    let at = place(number).unwrap_or(VERSIONS.len());
    let of_line = |line: &'static str| match line.split_once(' ') {
        None => Some(line),
        Some((path, first)) => place(first).is_some_and(|first| first <= at).then_some(path),
    };
    PATHS.lines().filter_map(of_line).collect()
}

/// Makes the links, if the root has busybox. What is already there stays.
pub(super) fn link(root: &mut Root, packages: &[Package], sources: &[File]) -> Result<(), Fault> {
    if root.find(BUSYBOX, true)? == Found::Missing {
        return Ok(());
    }
    let provides =
        |package: &&Package| package.control.info.provides.iter().any(|one| one.contains("busybox"));
    let named = packages.iter().find(|package| package.control.info.name == "busybox");
    // apko takes the last one of several.
    let Some(package) = named.or_else(|| packages.iter().rev().find(provides)) else { return Ok(()) };
    let own = format!("etc/busybox-paths.d/{}", package.control.info.name);
    let text = read(root, own.as_bytes(), sources)?;
    // Alpine writes them without a slash before them.
    let paths = match &text {
        Some(text) => text.lines().map(str::trim).filter(|path| !path.is_empty()).collect(),
        None => known_paths(&package.control.info.version),
    };
    for path in paths.into_iter().take(MOST_LINKS) {
        // The last part becomes a name as it is.
        parts(path.as_bytes())?;
        if root.find(path.as_bytes(), false)? != Found::Missing {
            continue;
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            continue;
        }
        let directory = root.make_directory(above.as_bytes(), 0o755)?;
        let node = root.tree.add(Node::new(Kind::Symlink(b"/bin/busybox".to_vec()), 0o777));
        root.link(directory, name.as_bytes().to_vec(), node);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_applets() {
        for (version, count, has_ascii, has_tree) in [
            ("1.32.1-r6", 427, false, false),
            ("1.33.2", 428, false, false),
            ("1.34.1-r5", 430, true, false),
            ("1.35.0-r17", 430, true, false),
            ("1.36.0-r1", 433, true, true),
            // Unknown versions are taken for the last one.
            ("1.36.1-r0", 433, true, true),
            ("1.30.0", 433, true, true),
            ("2", 433, true, true),
        ] {
            let paths = known_paths(version);
            let has = |path: &str| paths.contains(&path);
            assert_eq!(
                (paths.len(), has("/usr/bin/ascii"), has("/usr/bin/tree")),
                (count, has_ascii, has_tree),
                "{version}"
            );
            assert!(has("/bin/sh") && has("/usr/bin/env") && !has("/bin/busybox"));
            assert!(paths.iter().all(|path| path.starts_with('/')));
        }
    }
}
