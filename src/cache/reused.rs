//! What a build has read of what the cache held, as far as it is known.

use super::summary::Amounts;

/// What the steps have read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reused {
    /// Nobody could tell, for this reason.
    Unknown(String),
    /// All of this, and no more.
    Exactly(Amounts),
    /// This, and more that could not be counted.
    AtLeast(Amounts),
}

impl Default for Reused {
    /// Until the agent has been asked.
    fn default() -> Self {
        Self::Unknown("the build ended before it could be asked for".into())
    }
}

impl Reused {
    /// By kind of directory; `None` where it is not known.
    pub(super) fn amounts(&self) -> Option<&Amounts> {
        match self {
            Self::Unknown(_) => None,
            Self::Exactly(amounts) | Self::AtLeast(amounts) => Some(amounts),
        }
    }

    /// Why it is not known, or not all.
    pub(super) fn why(&self) -> Option<String> {
        match self {
            Self::Unknown(why) => Some(format!("what the build read of the cache is not known: {why}")),
            Self::Exactly(_) => None,
            Self::AtLeast(_) => Some("the build read more files than could be counted".into()),
        }
    }
}
