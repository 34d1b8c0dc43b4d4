//! What has been found in a package, and how it goes together with what the build file declares.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    analysis::Found,
    declared::{Declared, Options},
    note::Notes,
};

/// What is found in one package. Each list is sorted, without doubles, and `options` have been applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generated {
    /// What it needs.
    pub depends: Vec<String>,
    /// What it offers to others.
    pub provides: Vec<String>,
    /// What it has for itself alone: libraries in private directories.
    pub vendored: Vec<String>,
    /// What the user may want to know.
    pub notes: Notes,
}

/// What stands in `.PKGINFO`: declared and generated ones together, each list sorted and without doubles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The lines `depend`.
    pub depends: Vec<String>,
    /// The lines `provides`.
    pub provides: Vec<String>,
    /// The comments `# vendored`.
    pub vendored: Vec<String>,
}

impl Found {
    /// The lists, less what the options leave out.
    pub(super) fn apply(self, options: Options, notes: Notes) -> Generated {
        let Self { mut depends, mut provides, vendored } = self;
        if options.no_commands {
            depends.retain(|text| !text.starts_with("cmd:"));
            provides.retain(|text| !text.starts_with("cmd:"));
        }
        if options.no_depends {
            depends.clear();
        }
        if options.no_provides {
            provides.clear();
        }
        Generated {
            depends: depends.into_iter().collect(),
            provides: provides.into_iter().collect(),
            vendored: vendored.into_iter().collect(),
            notes,
        }
    }
}

/// The document of `--dependency-log`.
#[derive(Serialize)]
struct Log<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    runtime: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    provides: &'a [String],
}

impl Generated {
    /// What `--dependency-log` writes: a line of JSON with what was generated, before it is merged with what was declared.
    pub fn log_line(&self) -> serde_json::Result<String> {
        let log = Log { runtime: &self.depends, provides: &self.provides };
        let json = serde_json::to_string(&log)?;
        // As Go's encoder does.
        Ok(json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e") + "\n")
    }

    /// Puts generated and declared ones together. A generated depend that the package itself has (as a vendored entry) falls away,
    /// and then each depend that the package provides.
    pub fn merge(&self, declared: &Declared) -> Merged {
        let mut depends: BTreeSet<&String> = without(&self.depends, &self.vendored).collect();
        depends.extend(&declared.runtime);
        let provides: BTreeSet<&String> = self.provides.iter().chain(&declared.provides).collect();
        let provides: Vec<String> = provides.into_iter().cloned().collect();
        Merged {
            depends: without(depends, &provides).cloned().collect(),
            provides,
            vendored: self.vendored.clone(),
        }
    }
}

/// The depends that no entry offers.
fn without<'d>(
    depends: impl IntoIterator<Item = &'d String>,
    offered: &[String],
) -> impl Iterator<Item = &'d String> {
    let names: BTreeSet<String> = offered.iter().map(|entry| name_of(entry).to_owned()).collect();
    depends.into_iter().filter(move |depend| {
        let is_versioned = depend.starts_with("so-ver:");
        let name = if is_versioned { depend.split(">=").next().unwrap_or_default() } else { depend };
        !names.contains(name)
    })
}

/// The name of a provide, without its version.
fn name_of(provide: &str) -> &str {
    provide.split('=').next().unwrap_or_default()
}
