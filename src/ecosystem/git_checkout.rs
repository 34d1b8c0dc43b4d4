//! `git-checkout`, which is kiln's own: packs of repositories, and lists of their refs, below the hash of their URL.

use super::{
    content::EntryType,
    model::{Conflict, Rule},
};

/// Its directory in the cache.
pub const DIRECTORY: &str = "git";
/// The directory of the packs, in that of a URL.
pub const PACKS: &str = "objects/pack";
/// The name of one entry, for a report.
pub const ENTRY: &str = "repository";
/// Patterns of entries, from the top of the cache.
pub(super) const UNITS: &[&str] = &["git/*/", "git/*"];
/// Patterns of unfinished files, from the top of the cache.
pub(super) const UNFINISHED: &[&str] = &["git/*/.new.*", "git/*/objects/pack/.new.*"];
/// Objects and packs bear their hash; references move.
pub(super) const CONFLICTS: &[Conflict] =
    &[Conflict::of("", ".pack", Rule::First), Conflict::of("", ".idx", Rule::First)];

/// Whether a file lists the refs that the packs of a URL hold completely: `all.refs`, `<commit>-<depth>.refs`.
pub fn is_list(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".refs") else { return false };
    stem == "all"
        || stem.split_once('-').is_some_and(|(commit, depth)| {
            is_hex(commit) && !depth.is_empty() && depth.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Whether a file is a pack or its index.
pub fn is_pack(name: &str) -> bool {
    let Some((stem, "pack" | "idx")) = name.rsplit_once('.') else { return false };
    stem.strip_prefix("pack-").is_some_and(is_hex)
}

/// Whether an entry lies among packs and lists and is neither, nor a directory on the way to them.
pub fn is_stray(path: &[u8], entry_type: EntryType) -> bool {
    let Some(rest) = path.strip_prefix(DIRECTORY.as_bytes()) else { return false };
    let parts: Vec<&str> = match (rest, std::str::from_utf8(rest)) {
        ([], _) => Vec::new(),
        ([b'/', ..], Ok(rest)) => rest[1..].split('/').collect(),
        ([b'/', ..], Err(_)) => return true,
        _ => return false,
    };
    let allowed = match parts[..] {
        [] | [_, "objects"] | [_, "objects", "pack"] => EntryType::Directory,
        [key] if is_key(key) => EntryType::Directory,
        [_, list] if is_list(list) => EntryType::File,
        [_, "objects", "pack", pack] if is_pack(pack) => EntryType::File,
        _ => return true,
    };
    entry_type != allowed
}

/// Whether a name may be that of a URL's directory.
pub fn is_key(name: &str) -> bool {
    name.len() == 64 && is_hex(name)
}

fn is_hex(text: &str) -> bool {
    (40..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_neither_pack_nor_list_is_stray() {
        let (key, hash) = ("0".repeat(64), "a".repeat(40));
        for path in [
            format!("git/{key}"),
            format!("git/{key}/objects"),
            format!("git/{key}/objects/pack"),
            "git".into(),
        ] {
            assert!(!is_stray(path.as_bytes(), EntryType::Directory), "{path}");
            assert!(is_stray(path.as_bytes(), EntryType::Other), "{path}");
        }
        for name in ["all.refs".into(), format!("{hash}-1.refs"), format!("objects/pack/pack-{hash}.idx")] {
            let path = format!("git/{key}/{name}");
            assert!(!is_stray(path.as_bytes(), EntryType::File), "{path}");
            assert!(is_stray(path.as_bytes(), EntryType::Other), "{path}");
        }
        for name in [
            "config",
            ".git",
            "hooks/x",
            "HEAD",
            "objects/info",
            "objects/pack/pack-x.pack",
            "-1.refs",
            "full",
        ] {
            assert!(is_stray(format!("git/{key}/{name}").as_bytes(), EntryType::File), "{name}");
            assert!(is_stray(format!("git/{key}/{name}").as_bytes(), EntryType::Directory), "{name}");
        }
        assert!(!is_stray(b"gitter/config", EntryType::File) && !is_stray(b"own/.git", EntryType::Directory));
    }
}
