//! A walk over all of a cache, in the order of its names: what a summary counts, a prune weighs, an export writes and a
//! verification looks at. The staging directory is not part of it, and no link is followed.

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use nix::sys::stat::FileStat;

use super::{
    place::{Place, What, join, shown, what},
    stage::MAX_DEPTH,
    staging,
};

/// Deeper than anything that a commit puts there; what builds that write straight into the cache make below is left alone.
const DEEPEST: usize = MAX_DEPTH * 2;

/// Something in the cache.
pub(super) struct Found<'a> {
    /// The directory that it lies in.
    pub place: &'a Place,
    pub name: &'a [u8],
    /// From the top of the cache.
    pub path: &'a [u8],
    pub stat: FileStat,
    pub what: What,
}

/// A directory on the way down, and what of it has not been visited.
struct Open {
    place: Place,
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
}

/// How a walk ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    All,
    /// The visitor broke it off.
    Part,
}

/// Shows everything to `visit`, a directory before what it holds, until that breaks off. What disappears meanwhile is left out.
pub(super) fn walk(
    cache: &Place,
    mut visit: impl FnMut(&Found<'_>) -> Result<ControlFlow<()>>,
) -> Result<Seen> {
    let mut stack = Vec::new();
    stack.extend(open(cache, b"", b"")?);
    while let Some(Open { place, path, names }) = stack.last_mut() {
        let Some(name) = names.next() else {
            stack.pop();
            continue;
        };
        let Some(stat) = place.stat(&name).with_context(|| format!("look at {}", shown(&name)))? else {
            continue;
        };
        let whole = join(path, &name);
        if whole == staging::DIRECTORY {
            continue;
        }
        let found = Found { place, name: &name, path: &whole, stat, what: what(&stat) };
        if visit(&found)?.is_break() {
            return Ok(Seen::Part);
        }
        if found.what == What::Directory {
            let below = open(place, &name, &whole)?;
            if stack.len() < DEEPEST {
                stack.extend(below);
            }
        }
    }
    Ok(Seen::All)
}

fn open(above: &Place, name: &[u8], path: &[u8]) -> Result<Option<Open>> {
    let doing = || format!("list {}", shown(path));
    let Some(place) = above.dir(name).with_context(doing)? else { return Ok(None) };
    let names = place.names().with_context(doing)?.into_iter();
    Ok(Some(Open { place, path: path.to_vec(), names }))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn all_is_seen_in_order_but_what_is_staged_and_what_links_lead_to() {
        let root = tempfile::tempdir().expect("a directory");
        for path in [".kiln/x", "b/c/d", "a", "b/a"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, "x").expect("written");
        }
        symlink("..", root.path().join("b/up")).expect("linked");
        let place = Place::open(root.path()).expect("opened");
        let mut seen = Vec::new();
        let end = walk(&place, |found| {
            seen.push(String::from_utf8_lossy(found.path).into_owned());
            Ok(if found.path == b"b/up" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        assert_eq!(seen, ["a", "b", "b/a", "b/c", "b/c/d", "b/up"]);
        assert_eq!(end.expect("walked"), Seen::Part);
    }
}
