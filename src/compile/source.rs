//! Where pipeline definitions come from: a trait, so that compiling reads no file by itself.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use crate::manifest::{Diagnostics, Source, Step};

/// A pipeline definition: a step with inputs, and its file.
#[derive(Debug)]
pub struct Definition {
    /// As written.
    pub step: Step,
    /// To quote from.
    pub source: Source,
    /// Whether it came with kiln: its scripts are checked by kiln's own tests, not at each compile.
    pub built_in: bool,
    /// The scripts of it that were found to be shell.
    pub(crate) sound: Sound,
}

impl Definition {
    /// A definition and its file.
    pub fn new(step: Step, source: Source, built_in: bool) -> Self {
        Self { step, source, built_in, sound: Sound::default() }
    }
}

/// Remembers, by hash, which scripts of a definition are shell: hundreds of build files use the same few definitions with
/// inputs that differ in a word, and parsing them is the dearest part of compiling.
#[derive(Debug, Default)]
pub(crate) struct Sound(Mutex<HashSet<u64>>);

impl Sound {
    pub(crate) fn knows(&self, shape: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash(shape))
    }

    pub(crate) fn remember(&self, shape: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash(shape));
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Finds pipeline definitions by name. Shared by threads; a definition is parsed once.
pub trait PipelineSource: Sync {
    /// The definition of a name that [`valid_name`] has accepted.
    ///
    /// # Errors
    /// A definition that cannot be read or parsed.
    fn find(&self, name: &str) -> Result<Option<Arc<Definition>>, Diagnostics>;

    /// The names it knows without looking into directories, for "did you mean".
    fn known(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// Why a name cannot be that of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a definition is relative, without `..`")
    }
}

/// Refuses a name that could lead out of the directories of definitions.
///
/// # Errors
/// An absolute name, one with `..` in it, and one with an empty part or a NUL.
pub fn valid_name(name: &str) -> Result<(), InvalidName> {
    let part = |part: &str| !part.is_empty() && part != ".";
    if name.contains("..") || name.contains(['\0', '\\']) || !name.split('/').all(part) {
        return Err(InvalidName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_directory() {
        for name in ["fetch", "go/build/v2", "test/tw/ldd-check", "a.b", "R/build"] {
            assert_eq!(valid_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "a..b",
            "./a",
            "a//b",
            "a/",
            "a\0b",
            "..\\x",
            "a/./b",
        ] {
            assert_eq!(valid_name(name), Err(InvalidName), "{name}");
        }
    }
}
