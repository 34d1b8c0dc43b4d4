//! The event about the cache after a build.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::plan::CacheMode;

/// What the cache held before the build, what the build used of it, and what was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheReport {
    /// The mode; `none` in JSON if there is no cache.
    #[serde(serialize_with = "mode_or_none")]
    pub mode: Option<CacheMode>,
    /// Whether the build's writes are in the host's directory now.
    pub persisted: bool,
    /// The reason why they are there, or are not.
    #[serde(serialize_with = "sentence")]
    pub why: CacheFate,
    /// Replacements and deletions, of this and of earlier builds, that wait until no other build uses the cache.
    pub waiting: u64,
    /// Whether the amounts are exact. They are not if `before` is the sum that commits have kept, or if the build read more than
    /// `reused` says.
    pub exact: bool,
    /// Why `reused` is null or incomplete, if it is.
    #[serde(serialize_with = "sentence_if_any")]
    pub reused_why: Option<UsageGap>,
    /// The writes that were not kept although all others were, and the reason.
    pub left_out: Option<String>,
    /// How much of `new` was thrown away in all; `None` if it was kept or not counted.
    pub discarded: Option<Amount>,
    /// Why `discarded` is incomplete, or null although writes were thrown away.
    #[serde(serialize_with = "sentence_if_any")]
    pub discarded_why: Option<DiscardGap>,
    /// The directories of the cache, sorted by name.
    pub directories: Vec<CacheDirectory>,
}

/// What happened to a build's writes into the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheFate {
    /// There is no cache.
    NoCache,
    /// They were merged.
    Merged,
    /// They were merged, except this number of replacements and deletions, which wait.
    Waiting(u64),
    /// In mode `commit` the build wrote nothing new.
    NothingToCommit,
    /// They were more than a commit takes; the text says how much.
    OverLimit(String),
    /// The commit failed for this reason.
    Refused(String),
    /// In mode `commit` the build did not succeed.
    BuildFailed,
    /// They went straight into the directory.
    WrittenThrough,
    /// The same, of a build that failed.
    WrittenThroughByFailure,
    /// The build could not write.
    ReadOnly,
    /// In mode `discard` the build wrote nothing new.
    NothingToDiscard,
    /// They were thrown away, since the share is 9p.
    DiscardedBy9p,
    /// They were thrown away, as asked.
    Discarded,
}

impl CacheFate {
    /// Whether the writes are in the host's directory now.
    pub fn persisted(&self) -> bool {
        match self {
            Self::Merged
            | Self::Waiting(_)
            | Self::NothingToCommit
            | Self::WrittenThrough
            | Self::WrittenThroughByFailure => true,
            Self::NoCache
            | Self::OverLimit(_)
            | Self::Refused(_)
            | Self::BuildFailed
            | Self::ReadOnly
            | Self::NothingToDiscard
            | Self::DiscardedBy9p
            | Self::Discarded => false,
        }
    }
}

impl fmt::Display for CacheFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCache => "there is no cache directory",
            Self::Merged => "the build succeeded, and its writes were merged",
            Self::Waiting(1) => "one replacement or deletion waits until no other build uses the cache",
            Self::Waiting(count) => {
                return write!(
                    f,
                    "{count} replacements and deletions wait until no other build uses the cache"
                );
            }
            Self::NothingToCommit | Self::NothingToDiscard => "the build wrote nothing new",
            Self::OverLimit(why) => return write!(f, "{why}; --cache-commit-limit allows more"),
            Self::Refused(why) => return write!(f, "the steps succeeded, but {why}"),
            Self::BuildFailed => "the build did not succeed",
            Self::WrittenThrough => "writes go straight to the host's directory",
            Self::WrittenThroughByFailure => {
                "writes go straight to the host's directory, those of a build that failed too"
            }
            Self::ReadOnly => "the build could not write into it (--cache-mode ro)",
            Self::DiscardedBy9p => {
                "by 9p writes are discarded; QEMU_USE_VIRTIOFS=1 or --cache-mode commit keeps them"
            }
            Self::Discarded => "--cache-mode discard; --cache-mode commit keeps them",
        })
    }
}

/// Why it is not known, or not all, how much of the cache a build has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageGap {
    /// It could not be counted, for this reason.
    Unknown(String),
    /// There were more files than are counted.
    TooMany,
    /// The build changed so many files that it read.
    Changed(u64),
}

impl fmt::Display for UsageGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(why) => write!(f, "what the build read of the cache is not known: {why}"),
            Self::TooMany => f.write_str("the build read more files than could be counted"),
            Self::Changed(1) => f.write_str(
                "the build changed, replaced or removed a file that it read, and what the cache held of it is not known",
            ),
            Self::Changed(files) => write!(
                f,
                "the build changed, replaced or removed {files} files that it read, and what the cache held of them is not \
                 known"
            ),
        }
    }
}

/// Why it is not known, or not all, how much was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscardGap {
    /// There was more than is counted.
    TooMuch,
    /// It was not counted.
    NotCounted,
}

impl fmt::Display for DiscardGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMuch => "more was written than could be counted",
            Self::NotCounted => "what the build wrote was not counted",
        })
    }
}

/// One directory of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheDirectory {
    /// Its name in the cache directory (`gomodcache`, `pip`, …); `sources` for files at the top that are named by their hash
    /// (`sha256:…`), `.` for all other files at the top.
    pub name: String,
    /// Before the build; `None` if it was not counted.
    pub before: Option<Amount>,
    /// New files of the build; `None` if they are not known. They are in the host's directory only if the report says
    /// `persisted`.
    pub new: Option<Amount>,
    /// Other growth: files that no commit keeps, since their tool makes them again. `None` if it is not known, or if none of it
    /// stays.
    pub besides: Option<Amount>,
    /// The files of `before` that the build read; `None` if they are not known.
    pub reused: Option<Amount>,
}

/// A number of files, and their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amount {
    /// Files and links, not directories.
    pub entries: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

impl Amount {
    /// The sum of both.
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

/// A reason is a sentence in JSON, for people; programs read the other fields.
fn sentence<S: Serializer>(reason: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reason)
}

fn sentence_if_any<S: Serializer>(
    reason: &Option<impl fmt::Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match reason {
        Some(reason) => sentence(reason, serializer),
        None => serializer.serialize_none(),
    }
}
