//! Linters: what packages should not have in them.
//!
//! Before it stand the facts of a package, without the SBOM that kiln puts there; after it the report, the file of
//! `--persist-lint-results`, and the failure of a build. It is a pure function. The names, messages and documents are
//! melange's; where a linter of melange misses by a defect what it is for, this one finds it.

mod apk;
mod binaries;
mod duplicate;
mod finding;
mod modes;
mod names;
mod places;
mod python;
mod settings;
mod subject;
mod table;
#[cfg(test)]
mod tests;

use self::subject::{Outcome, Subject};
pub use self::{
    apk::{LintedApk, examine_apk, read_apk},
    finding::{Finding, failure, results},
    settings::{Settings, UnknownLinter},
    subject::{Architecture, Details, Duplicate, Permissions, Platform, Tests},
    table::{LINTERS, Linter, find},
};
use super::facts::{PackageFacts, Walk};

/// Runs the linters on a package: those that warn, then those that are required, each in the order of the settings.
pub fn lint(package: &PackageFacts, tests: Tests, settings: &Settings) -> Vec<Finding> {
    let walk = Walk::new(package);
    let subject = Subject { name: &package.name, walk: &walk, tests };
    let Settings { require, warn } = settings;
    let warn = warn.iter().map(|linter| (*linter, false));
    let require = require.iter().map(|linter| (*linter, true));
    let findings = warn.chain(require).filter_map(|(linter, is_required)| {
        let Outcome { message, lines, details, is_warning_only } = (linter.check)(&subject)?;
        let is_required = is_required && !is_warning_only;
        Some(Finding { package: package.name.clone(), linter, message, lines, details, is_required })
    });
    findings.collect()
}
