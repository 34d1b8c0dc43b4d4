//! What a root has besides the files of packages: apko's directories, apk's own files, home directories and links.

use crate::{
    image::erofs::{Kind, Node, NodeId},
    plan::{ApkKey, ApkRoot},
};

use super::{
    super::package::{Package, shown},
    database,
    install::Listed,
    root::{Fault, Found, Root},
};

/// The directories that are made before the packages, so that their modes win.
const DIRECTORIES: [(&str, u16); 16] = [
    ("tmp", 0o1777),
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("var", 0o755),
    ("etc/apk", 0o755),
    ("etc/apk/keys", 0o755),
    ("opt", 0o755),
    ("usr", 0o755),
    ("usr/lib", 0o755),
    ("usr/lib/apk", 0o755),
    ("usr/lib/apk/db", 0o755),
    ("usr/lib/apk/exec", 0o755),
    ("var/cache", 0o755),
    ("var/cache/apk", 0o755),
    ("var/cache/misc", 0o755),
];
/// Directories that kiln's agent mounts over, if no package has them.
const MOUNT_POINTS: [&str; 2] = ["run", "sys"];
/// apk's database.
const DATABASE: &str = "usr/lib/apk/db";
/// Where older versions of apk look for the database.
const OLD_APK: &[u8] = b"lib/apk";
/// What packages provide whose `/lib` is a link to `/usr/lib`.
const MERGED_LIB: &str = "merged-lib";
/// The most bytes of a file of a package that is read here.
const MOST_BYTES: u64 = 4 << 20;

/// Makes the directories that come before the packages.
pub(super) fn before(root: &mut Root) -> Result<(), Fault> {
    for (path, mode) in DIRECTORIES {
        root.make_directory(path.as_bytes(), mode)?;
    }
    Ok(())
}

/// Writes all that follows the packages.
pub(super) fn after(
    root: &mut Root,
    recipe: &ApkRoot,
    arch: &str,
    packages: &[Package],
    lists: &[Vec<Listed>],
) -> Result<(), Fault> {
    let ApkRoot { packages: chosen, repositories, keys } = recipe;
    root.write(b"etc/apk/world", lines(&recipe.locked()), 0o644)?;
    root.write(b"etc/apk/repositories", lines(repositories), 0o644)?;
    root.write(b"etc/apk/arch", lines(&[arch.to_owned()]), 0o644)?;
    for ApkKey { name, pem } in keys {
        let path = format!("etc/apk/keys/{name}");
        if root.find(path.as_bytes(), true)? == Found::Missing {
            root.write(path.as_bytes(), pem.clone().into_bytes(), 0o644)?;
        }
    }
    let at = |name: &str| format!("{DATABASE}/{name}").into_bytes();
    root.write(&at("installed"), database::installed(chosen, packages, lists).into_bytes(), 0o644)?;
    root.write(&at("scripts.tar"), database::scripts(chosen, packages)?, 0o644)?;
    root.write(&at("triggers"), database::triggers(chosen, packages).into_bytes(), 0o644)?;
    root.write(&at("lock"), Vec::new(), 0o600)?;
    let merged = packages.iter().flat_map(|package| &package.control.info.provides);
    let is_merged = merged.into_iter().any(|one| one.split('=').next() == Some(MERGED_LIB));
    link_old_database(root, is_merged)?;
    for path in MOUNT_POINTS {
        if root.find(path.as_bytes(), true)? == Found::Missing {
            root.make_directory(path.as_bytes(), 0o755)?;
        }
    }
    Ok(())
}

fn lines(lines: &[String]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

/// `/lib/apk` leads to the database, unless `/lib` does or a package will make it do so, or `/lib/apk` is a directory with
/// something in it.
fn link_old_database(root: &mut Root, is_merged: bool) -> Result<(), Fault> {
    let lib = match root.find(b"lib", true)? {
        Found::Missing if is_merged => return Ok(()),
        Found::Missing => root.make_directory(b"lib", 0o755)?,
        Found::Node(node) => node,
    };
    if root.directory(b"usr/lib")? == Some(lib) {
        return Ok(());
    }
    let is_empty = match root.find(OLD_APK, false)? {
        Found::Missing => true,
        Found::Node(node) => is_empty_below(root, node),
    };
    if is_empty {
        let node = root.tree.add(Node::new(Kind::Symlink(b"../usr/lib/apk".to_vec()), 0o777));
        root.link(lib, b"apk".to_vec(), node);
    }
    Ok(())
}

/// Whether a node is a directory without files, as the package of Alpine's base has it.
fn is_empty_below(root: &Root, top: NodeId) -> bool {
    let mut open = vec![top];
    while let Some(node) = open.pop() {
        match root.tree.entries(node) {
            Some(entries) => open.extend(entries.values()),
            None => return false,
        }
    }
    true
}

/// Makes the home directory of each line of /etc/passwd, if it is missing, and /etc/passwd.
pub(super) fn homes(root: &mut Root, sources: &[std::fs::File]) -> Result<(), Fault> {
    let Some(text) = read(root, b"etc/passwd", sources)? else {
        return root.write(b"etc/passwd", Vec::new(), 0o644);
    };
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let (Some(uid), Some(gid), Some(home)) = (fields.get(2), fields.get(3), fields.get(5)) else {
            continue;
        };
        let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
        if home.is_empty() || *home == "/dev/null" || root.find(home.as_bytes(), true)? != Found::Missing {
            continue;
        }
        let node = root.make_directory(home.as_bytes(), 0o700)?;
        if let Some(node) = root.tree.nodes.get_mut(node) {
            (node.uid, node.gid) = (uid, gid);
        }
    }
    Ok(())
}

/// The text of a file of the root; `None` if it is not there.
pub(super) fn read(root: &Root, path: &[u8], sources: &[std::fs::File]) -> Result<Option<String>, Fault> {
    use std::os::unix::fs::FileExt;

    use crate::image::erofs::Content;

    let Found::Node(node) = root.find(path, true)? else { return Ok(None) };
    let Some(Kind::File(content)) = root.node(node).map(|node| &node.kind) else { return Ok(None) };
    let bytes = match content {
        _ if content.size() > MOST_BYTES => {
            return Err(format!("{}: it is larger than {MOST_BYTES} bytes", shown(path)));
        }
        Content::Bytes(bytes) => bytes.clone(),
        Content::Extent { source, offset, size } => {
            let mut bytes = vec![0; usize::try_from(*size).unwrap_or(0)];
            let file = sources.get(*source).ok_or("a file lies in no package")?;
            file.read_exact_at(&mut bytes, *offset).map_err(|error| format!("{}: {error}", shown(path)))?;
            bytes
        }
    };
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
