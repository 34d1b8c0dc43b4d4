//! The environment of the process at its start: a value, so that code that depends on it can be tested.
//!
//! An empty variable counts as unset. A malformed one is a usage error, never a default.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use crate::exit::Failure;

/// Go's words for true (`strconv.ParseBool`).
const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];

/// Go's words for false.
const FALSE: [&str; 6] = ["0", "f", "F", "FALSE", "false", "False"];

/// The variables of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env {
    variables: BTreeMap<OsString, OsString>,
}

impl Env {
    /// That of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The same, as a path.
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.get(name).map(Path::new)
    }

    /// The same, as text.
    ///
    /// # Errors
    /// A usage failure when it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.to_str().map(|text| Some(text.to_owned())).ok_or_else(|| {
            Failure::usage(
                format!("{name} is not valid UTF-8: {}", value.display()),
                "Set it anew, or unset it.",
            )
        })
    }

    /// A truth value, in Go's words.
    pub fn bool(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.to_str() {
            Some(word) if TRUE.contains(&word) => Ok(Some(true)),
            Some(word) if FALSE.contains(&word) => Ok(Some(false)),
            _ => Err(Failure::usage(
                format!("{name}={} is neither true nor false", value.display()),
                format!("Write one of {} for true, or of {} for false.", TRUE.join(" "), FALSE.join(" ")),
            )),
        }
    }

    /// The directories of programs.
    pub fn search_path(&self) -> impl Iterator<Item = std::path::PathBuf> {
        self.get("PATH").map(std::env::split_paths).into_iter().flatten().filter(|dir| dir.is_absolute())
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_but_empty_is_not_set() {
        let env: Env = [("A", ""), ("B", "x")].into_iter().collect();
        assert_eq!(env.get("A"), None);
        assert_eq!(env.get("B"), Some(OsStr::new("x")));
        assert_eq!(env.bool("A").unwrap(), None);
    }

    #[test]
    fn truth_has_the_words_of_go_and_no_others() {
        for (words, truth) in [(TRUE, true), (FALSE, false)] {
            for word in words {
                let env: Env = [("V", word)].into_iter().collect();
                assert_eq!(env.bool("V").unwrap(), Some(truth));
            }
        }
        for word in ["yes", "on", "tRUE", " 1", "2"] {
            let env: Env = [("QEMU_USE_VIRTIOFS", word)].into_iter().collect();
            let failure = env.bool("QEMU_USE_VIRTIOFS").unwrap_err();
            assert_eq!(failure.code, crate::exit::Code::Usage);
            assert_eq!(failure.what, format!("QEMU_USE_VIRTIOFS={word} is neither true nor false"));
            assert!(failure.way_out.contains("TRUE true True"), "{}", failure.way_out);
        }
    }
}
