//! The links to busybox that its package's trigger would make: scripts of packages do not run.

use std::fs::File;

use crate::image::erofs::{Kind, Node};

use super::{
    super::package::Package,
    base::read,
    root::{Fault, Found, Root},
};

const BUSYBOX: &[u8] = b"bin/busybox";
/// The most links; busybox has about 400 applets.
const MOST_LINKS: usize = 4096;

/// The paths of applets for packages that do not say them: those of busybox 1.35.
const PATHS: &str = include_str!("busybox-paths.txt");

/// Makes the links, if the root has busybox. What is already there stays.
pub(super) fn link(root: &mut Root, packages: &[Package], sources: &[File]) -> Result<(), Fault> {
    if root.find(BUSYBOX, true)? == Found::Missing {
        return Ok(());
    }
    let provides =
        |package: &&Package| package.control.info.provides.iter().any(|one| one.contains("busybox"));
    let named = packages.iter().find(|package| package.control.info.name == "busybox");
    let Some(package) = named.or_else(|| packages.iter().find(provides)) else { return Ok(()) };
    let own = format!("etc/busybox-paths.d/{}", package.control.info.name);
    let text = read(root, own.as_bytes(), sources)?.unwrap_or_else(|| PATHS.to_owned());
    // Alpine writes them without a slash before them.
    let paths = text.lines().map(str::trim).filter(|path| !path.is_empty());
    for path in paths.take(MOST_LINKS) {
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
