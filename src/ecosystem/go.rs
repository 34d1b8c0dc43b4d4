//! Go: modules (`GOMODCACHE`) and compiled packages (`GOCACHE`).
//!
//! A module's `.ziphash` says what its archive holds, and what was unpacked from it (`dirhash.Hash1`,
//! golang.org/x/mod/sumdb/dirhash): a line `hash  name` for each file, sorted by name, hashed once more.

use anyhow::{Context, Result};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::{
    content::{Content, EntryType, Files, hash, hex, text},
    model::{Conflict, Ecosystem, Lock, NOTHING, Rule, Scope},
    zip,
};

pub(super) const GO: Ecosystem = Ecosystem {
    name: "go",
    scope: Scope::Always,
    directory: "gomodcache",
    variables: &[("GOMODCACHE", "/var/cache/melange/gomodcache")],
    // Empty files that mean something only to running processes.
    junk: &["cache/lock", "cache/download/**/*.lock", "cache/vcs/*.lock"],
    entry: "module version",
    units: &[
        "cache/download/**/@v/*.info",
        "cache/download/**/@v/*.mod",
        "cache/download/**/@v/*.zip",
        "cache/download/**/@v/*.ziphash",
        "cache/download/**/@v/*.lock",
        "cache/download/**/@v/*.partial",
        "cache/vcs/*.info",
        "cache/vcs/*.lock",
        "cache/vcs/*/",
        "**/*@*/",
    ],
    unfinished: &["cache/download/**/@v/*.tmp", "cache/download/**/@v/*.partial"],
    // A module's files bear its version; lists of versions grow.
    conflicts: &[
        Conflict::of("cache/download/", "/@v/list", Rule::Last),
        Conflict::of("cache/download/sumdb/", "/latest", Rule::Last),
        Conflict::of("", "", Rule::First),
    ],
    repositories: &["cache/vcs/"],
    verify,
    ..NOTHING
};

pub(super) const GOCACHE: Ecosystem = Ecosystem {
    name: "gocache",
    directory: "gocache",
    variables: &[("GOCACHE", "/var/cache/melange/gocache")],
    rewritten: &["trim.txt", "testexpire.txt", "README"],
    lock: Lock::Rename,
    entry: "compiled package",
    ..NOTHING
};

/// The files of a module by name, with their hashes.
type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// A module has no deeper directories.
const DEEPEST: usize = 64;

/// Checks the archive and the tree that a `.ziphash` is about.
pub(super) fn verify(files: &dyn Files, path: &str) -> Result<Content> {
    let Some(stem) = path.strip_suffix(".ziphash") else { return Ok(Content::Unknown) };
    // A cache may be Go's alone.
    let (root, inside) = match stem.strip_prefix("gomodcache/") {
        Some(inside) => ("gomodcache/", inside),
        None => ("", stem),
    };
    let Some(inside) = inside.strip_prefix("cache/download/") else { return Ok(Content::Unknown) };
    let Some((module, version)) = inside.split_once("/@v/") else { return Ok(Content::Unknown) };
    let Some(expected) = text(files, path)?.filter(|text| text.starts_with("h1:")) else {
        return Ok(Content::Wrong("it holds no hash".into()));
    };
    let expected = expected.trim_end();
    if let Some(file) = files.file(format!("{stem}.zip").as_bytes()).context("open the archive")? {
        match zip::hashes(&file) {
            Ok(lines) => {
                if of(lines) != expected {
                    return Ok(Content::Wrong("its archive holds something else".into()));
                }
            }
            Err(error) => return Ok(Content::Wrong(format!("its archive cannot be read: {error:#}"))),
        }
    }
    // Go unpacks a module with such a mark again.
    if files.file(format!("{stem}.partial").as_bytes())?.is_some() {
        return Ok(Content::Right);
    }
    let Some(tree) = files.directory(format!("{root}{module}@{version}").as_bytes())? else {
        return Ok(Content::Right);
    };
    let prefix = format!("{}@{}", unescaped(module), unescaped(version));
    let mut lines = Lines::new();
    let plain = collect(&*tree, prefix.as_bytes(), &mut lines, DEEPEST).context("read what was unpacked")?;
    Ok(if plain && of(lines) == expected {
        Content::Right
    } else {
        Content::Wrong("what was unpacked is something else".into())
    })
}

fn of(mut lines: Lines) -> String {
    lines.sort();
    let mut all = Sha256::new();
    for (name, hash) in lines {
        all.update(hex(&hash).as_bytes());
        all.update(b"  ");
        all.update(&name);
        all.update(b"\n");
    }
    format!("h1:{}", BASE64.encode(&all.finalize()))
}

/// Go writes upper case as `!` and lower case, since not every file system tells them apart.
fn unescaped(text: &str) -> String {
    let mut upper = false;
    let mut plain = String::new();
    for char in text.chars() {
        match char {
            '!' => upper = true,
            char if upper => {
                plain.push(char.to_ascii_uppercase());
                upper = false;
            }
            char => plain.push(char),
        }
    }
    plain
}

/// Hashes all files below; false if there is an entry that no module holds.
fn collect(directory: &dyn Files, prefix: &[u8], lines: &mut Lines, depth: usize) -> Result<bool> {
    for (name, entry_type) in directory.entries()? {
        let whole = [prefix, &name].join(&b'/');
        match entry_type {
            EntryType::Directory if depth > 0 => {
                let Some(below) = directory.directory(&name)? else { continue };
                if !collect(&*below, &whole, lines, depth - 1)? {
                    return Ok(false);
                }
            }
            EntryType::File => {
                let Some(file) = directory.file(&name)? else { continue };
                if directory.is_mostly_holes(&file)? {
                    return Ok(false);
                }
                lines.push((whole, hash::<Sha256>(file)?));
            }
            EntryType::Directory | EntryType::Other => return Ok(false),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_go() {
        // golang.org/x/mod/sumdb/dirhash, hash_test.go: h1 of the lines of abc ("data for abc") and def ("data for def").
        let line = |name: &str| {
            let content = format!("data for {name}");
            (name.as_bytes().to_vec(), Sha256::digest(content.as_bytes()).to_vec())
        };
        let mut text = String::new();
        for (name, hash) in [line("abc"), line("def")] {
            text += &format!("{}  {}\n", hex(&hash), String::from_utf8_lossy(&name));
        }
        let whole = format!("h1:{}", BASE64.encode(&Sha256::digest(text.as_bytes())));
        assert_eq!(of(vec![line("def"), line("abc")]), whole);
    }

    #[test]
    fn upper_case_comes_back() {
        assert_eq!(unescaped("github.com/!burnt!sushi/toml"), "github.com/BurntSushi/toml");
    }
}
