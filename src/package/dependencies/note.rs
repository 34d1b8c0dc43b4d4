//! What a user may want to know of generated dependencies.

use std::fmt;

/// More notes of one package are counted, not kept.
const MAX_NOTES: usize = 64;
/// A text is cut after this many bytes.
const MAX_SHOWN: usize = 200;

/// The notes of one package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The first ones, in the order of the walk.
    pub list: Vec<Note>,
    /// How many more there are.
    pub omitted: usize,
}

impl Notes {
    pub(super) fn add(&mut self, note: impl FnOnce() -> Note) {
        if self.list.len() < MAX_NOTES {
            self.list.push(note());
        } else {
            self.omitted += 1;
        }
    }
}

/// A note. Paths and texts of files are escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A library in a directory of libraries has no name (`DT_SONAME`), so no package can depend on it.
    NoSoname {
        /// Its path.
        path: String,
    },
    /// A file cannot be read as what its name or start says, so nothing is known of it.
    Unreadable {
        /// Its path.
        path: String,
        /// What it should be: `ELF`, `pkg-config`.
        format: &'static str,
        /// Why it cannot be read.
        why: String,
    },
    /// It is not clear which command a script needs.
    UnclearInterpreter {
        /// The path of the script.
        path: String,
        /// Its first line.
        line: String,
    },
    /// The build file declares what would have been generated.
    AlreadyDeclared {
        /// As in the build file.
        dependency: String,
    },
    /// A text of a file cannot be a dependency: it has control characters, or is too long.
    Unusable {
        /// The path of the file.
        path: String,
        /// The text.
        text: String,
    },
}

impl Note {
    pub(super) fn unusable(path: &[u8], text: &[u8]) -> Self {
        Self::Unusable { path: shown(path), text: shown(text) }
    }

    pub(super) fn unreadable(path: &[u8], format: &'static str, why: &str) -> Self {
        Self::Unreadable { path: shown(path), format, why: why.to_owned() }
    }

    pub(super) fn unclear_interpreter(path: &[u8], line: &[u8]) -> Self {
        Self::UnclearInterpreter { path: shown(path), line: shown(line) }
    }

    pub(super) fn no_soname(path: &[u8]) -> Self {
        Self::NoSoname { path: shown(path) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSoname { path } => write!(f, "{path}: the library has no SONAME"),
            Self::Unreadable { path, format, why } => {
                write!(f, "{path}: it is not read as {format}, so it adds no dependency: {why}")
            }
            Self::UnclearInterpreter { path, line } => {
                write!(f, "{path}: no dependency on an interpreter is made from the first line \"{line}\"")
            }
            Self::AlreadyDeclared { dependency } => {
                write!(
                    f,
                    "the dependency {dependency:?} of the build file stands in place of a generated one"
                )
            }
            Self::Unusable { path, text } => write!(f, "{path}: \"{text}\" cannot be a dependency"),
        }
    }
}

/// A text of a file, fit for a message.
fn shown(text: &[u8]) -> String {
    let cut = text.get(..MAX_SHOWN).unwrap_or(text);
    String::from_utf8_lossy(cut).chars().flat_map(escaped).collect()
}

fn escaped(letter: char) -> impl Iterator<Item = char> {
    let (plain, escaped) =
        if letter.is_control() { (None, Some(letter.escape_default())) } else { (Some(letter), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}
