//! Which linters run, and whose findings fail a build.

use std::fmt;

use super::table::{LINTERS, Linter, find};
use crate::{
    exit::Failure,
    manifest::nearest,
    plan::{REQUIRED_LINTERS, WARNING_LINTERS},
};

/// The linters of a build, in the order in which they run: those that warn come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A finding fails the build.
    pub require: Vec<&'static Linter>,
    /// A finding is a warning.
    pub warn: Vec<&'static Linter>,
}

/// A name that no linter has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLinter {
    /// The name.
    pub name: String,
    /// The name of a linter that differs little.
    pub nearest: Option<&'static str>,
}

impl Default for Settings {
    fn default() -> Self {
        // A test knows that each of these names is in the table.
        let of = |names: &[&str]| names.iter().filter_map(|name| find(name)).collect();
        Self { require: of(&REQUIRED_LINTERS), warn: of(&WARNING_LINTERS) }
    }
}

impl Settings {
    /// The linters of `--lint-require` and `--lint-warn`; `None` for a flag that is not given, which leaves its default. Fails with
    /// [`Code::Usage`](crate::exit::Code::Usage) for an unknown name.
    pub fn new(require: Option<&[String]>, warn: Option<&[String]>) -> Result<Self, Failure> {
        let Self { require: default_require, warn: default_warn } = Self::default();
        Ok(Self {
            require: require.map_or(Ok(default_require), |names| named("--lint-require", names))?,
            warn: warn.map_or(Ok(default_warn), |names| named("--lint-warn", names))?,
        })
    }

    /// The linters for a package with `checks.disabled`, which makes a required linter one that warns; and the names there that
    /// no linter has.
    pub fn without(&self, disabled: &[String]) -> (Self, Vec<UnknownLinter>) {
        let unknown =
            disabled.iter().filter(|name| find(name).is_none()).map(|name| UnknownLinter::new(name));
        let is_disabled = |linter: &Linter| disabled.iter().any(|name| name == linter.name);
        let (moved, require): (Vec<_>, Vec<_>) =
            self.require.iter().copied().partition(|linter| is_disabled(linter));
        let mut warn = self.warn.clone();
        warn.extend(moved.into_iter().filter(|linter| !self.warn.contains(linter)));
        (Self { require, warn }, unknown.collect())
    }
}

fn named(flag: &str, names: &[String]) -> Result<Vec<&'static Linter>, Failure> {
    let mut linters = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        let linter = find(name).ok_or_else(|| {
            let unknown = UnknownLinter::new(name);
            Failure::usage(format!("{flag}: {unknown}"), all_names())
        })?;
        if !linters.contains(&linter) {
            linters.push(linter);
        }
    }
    Ok(linters)
}

fn all_names() -> String {
    let names: Vec<&str> = LINTERS.iter().map(|linter| linter.name).collect();
    format!("The linters are {}.", names.join(", "))
}

impl UnknownLinter {
    fn new(name: &str) -> Self {
        let known: Vec<&'static str> = LINTERS.iter().map(|linter| linter.name).collect();
        Self { name: name.to_owned(), nearest: nearest(name, &known) }
    }
}

impl fmt::Display for UnknownLinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown linter {:?}", self.name)?;
        match self.nearest {
            Some(nearest) => write!(f, "; the nearest name is {nearest:?}"),
            None => Ok(()),
        }
    }
}
