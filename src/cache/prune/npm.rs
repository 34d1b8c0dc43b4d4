//! npm's entries: its index names contents by their hashes, and with `--prefer-offline` npm fails where the index names one
//! that is not there. So a content goes with all that names it.

use std::{collections::HashMap, io::Read};

use anyhow::{Context, Result};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde::Deserialize;

use super::Entry;
use crate::cache::dir::{BeneathDir, shown};

const INDEX: &[u8] = b"npm/_cacache/index-v5/";
const CONTENT: &str = "npm/_cacache/content-v2/";
/// A bucket of the index has some lines of some hundred bytes; one that is longer is not npm's.
const MOST: u64 = 16 << 20;

/// A line of a bucket, after its own hash.
#[derive(Deserialize)]
struct Line {
    integrity: Option<String>,
}

/// Makes one entry of each content and what names it.
pub(super) fn join(cache: &BeneathDir, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    let mut contents: HashMap<String, usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        contents.extend(entry.paths.iter().filter_map(|path| integrity(path)).map(|name| (name, at)));
    }
    let mut groups = Groups((0..entries.len()).collect());
    for (at, entry) in entries.iter().enumerate() {
        for path in entry.paths.iter().filter(|path| path.starts_with(INDEX)) {
            for name in named(cache, path).with_context(|| format!("read {}", shown(path)))? {
                if let Some(&content) = contents.get(&name) {
                    groups.join(content, at);
                }
            }
        }
    }
    let mut joined: HashMap<usize, usize> = HashMap::new();
    let mut whole: Vec<Entry> = Vec::new();
    for (at, entry) in entries.into_iter().enumerate() {
        match joined.get(&groups.first(at)) {
            Some(&place) => whole[place].absorb(entry),
            None => {
                joined.insert(groups.first(at), whole.len());
                whole.push(entry);
            }
        }
    }
    Ok(whole)
}

/// Which entries are one: each points to an earlier one of its group, the first to itself.
struct Groups(Vec<usize>);

impl Groups {
    fn first(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.first(one), self.first(other));
        self.0[one.max(other)] = one.min(other);
    }
}

/// FileType an index calls the content at a path (Subresource Integrity: `sha512-` and base64).
fn integrity(path: &[u8]) -> Option<String> {
    let (algorithm, hex) = std::str::from_utf8(path).ok()?.strip_prefix(CONTENT)?.split_once('/')?;
    let bytes = HEXLOWER_PERMISSIVE.decode(hex.replace('/', "").as_bytes()).ok()?;
    Some(format!("{algorithm}-{}", BASE64.encode(&bytes)))
}

/// The contents that a bucket names.
fn named(cache: &BeneathDir, path: &[u8]) -> Result<Vec<String>> {
    let Some(file) = cache.file_unused(path)? else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line.split_once('\t')?.1).ok());
    let names = lines.filter_map(|line| line.integrity);
    Ok(names.flat_map(|all| all.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect())
}
