//! What a build made of its cache, as the event that says it.

use serde::{Serialize, Serializer};

use crate::plan::CacheMode;

/// What the cache held, gave and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheReport {
    /// What became of writes by the plan; `none` in JSON if there is no cache.
    #[serde(serialize_with = "mode_or_none")]
    pub mode: Option<CacheMode>,
    /// Whether what the build wrote is in the host's directory now.
    pub persisted: bool,
    /// Why, or why not.
    pub why: String,
    /// How many replacements and deletions, of this and of earlier builds, wait until no other build uses the cache.
    pub waiting: u64,
    /// Whether the amounts are exact. They are not where `before` is what commits have kept, not counted for this report, and where
    /// more was read than `reused` says.
    pub exact: bool,
    /// Why `reused` is null, or less than all, where it is.
    pub reused_why: Option<String>,
    /// What of the build's writes was not kept while all else was, and why.
    pub left_out: Option<String>,
    /// How much of what `new` names was thrown away, all together; `None` where it was kept, and where nobody has counted.
    pub discarded: Option<Amount>,
    /// Why `discarded` is less than all, or null though what was written is thrown away, where it is.
    pub discarded_why: Option<String>,
    /// Directory by directory; sorted by name.
    pub directories: Vec<CacheDirectory>,
}

/// One directory of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheDirectory {
    /// Its name below the cache directory (`gomodcache`, `pip`, …); `sources` for files at its top that are named by their hash
    /// (`sha256:…`), `.` for all others there.
    pub name: String,
    /// Before the build; `None` where nobody has counted.
    pub before: Option<Amount>,
    /// What the build wrote that was not there; `None` where it cannot be told. In the host's directory it is only where the report
    /// says `persisted`.
    pub new: Option<Amount>,
    /// By what it has grown besides: what no commit would keep, nor call new, since its tool makes it again. `None` where that cannot
    /// be told, and where nothing of it stays.
    pub besides: Option<Amount>,
    /// What the build read of what was there; `None` where it cannot be measured.
    pub reused: Option<Amount>,
}

/// So many files, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amount {
    /// Files and links, not directories.
    pub entries: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}

impl Amount {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        let (entries, bytes) =
            (self.entries.saturating_add(other.entries), self.bytes.saturating_add(other.bytes));
        Self { entries, bytes }
    }
}

fn mode_or_none<S: Serializer>(mode: &Option<CacheMode>, serializer: S) -> Result<S::Ok, S::Error> {
    match mode {
        Some(mode) => mode.serialize(serializer),
        None => serializer.serialize_str("none"),
    }
}
