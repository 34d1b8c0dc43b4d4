//! Manifest → [`Recipe`]: variables, conditions, ranges, definitions and inputs, for one architecture.
//!
//! Comes after `manifest` and before `plan`. Pure: the only I/O is reading pipeline definitions, through [`PipelineSource`]. It
//! knows no host and no runner. The passes, in melange's order:
//!
//! 1. `vars`, `--vars-file` and build options are merged and resolved, `var-transforms` run (`variables`);
//! 2. the literal pass (`literal`), with one copy of a subpackage for each item of its `range`;
//! 3. the strict pass over dependencies and package lists;
//! 4. the strict pass over steps, definitions put in (`uses`, `inputs`, `condition`), scripts checked (`shell`).
//!
//! Faults are collected through all of them.

pub mod arch;
mod check;
mod condition;
mod draft;
pub mod env_file;
mod environment;
pub mod explain;
mod faults;
mod inputs;
mod json;
mod layers;
mod literal;
mod options;
mod package_test;
mod printed;
mod recipe;
mod regex;
mod shell;
mod source;
mod steps;
mod substitute;
mod uses;
mod variables;
mod version;

pub use self::{
    arch::{Arch, Libc},
    options::Options,
    package_test::TestedPackage,
    recipe::{Condition, Origin, PackageRequest, PackageSteps, Recipe, Run, Step, Subpackage, Test, Unmet},
    shell::SecondOpinion,
    source::{Definition, InvalidName, PipelineSource, valid_name},
    steps::WORKSPACE,
    version::is_valid_version,
};
use self::{draft::Draft, faults::Faults, literal::Literal};
use crate::manifest::{self, Diagnostics, Manifest, Position};

/// Compiles a build file.
///
/// # Errors
/// All faults, in the order of the file; and a file that is for other architectures.
pub fn compile(
    manifest: &Manifest,
    options: &Options<'_>,
    definitions: &dyn PipelineSource,
) -> Result<Recipe, Diagnostics> {
    let mut faults = Faults::default();
    let vars = variables::merged(manifest, options);
    let first = variables::first_pass(manifest, &vars, &mut faults);
    let literal = Literal { scope: &first, commit: &options.commit };
    let mut draft = Draft::new(manifest, options, &literal, &mut faults);
    if !serves(&draft.package, options.arch) {
        let at = draft.package.target_architecture.first().map_or(draft.package.at, |text| text.position);
        let message = format!("target-architecture does not name {}: nothing to build", options.arch);
        return Err(manifest.source.diagnostic(at, message).into());
    }
    draft.strict(&manifest.source, &first, &mut faults);
    draft.check(manifest, options, &mut faults);
    let recipe = draft.finish(manifest, options, &first, vars, definitions, faults);
    if first.is_spent() {
        // Recipe and faults are incomplete.
        let message = format!("becomes more than {} MiB of text", substitute::MAX_BYTES >> 20);
        let fault = manifest.source.diagnostic(Position::default(), message);
        return Err(fault
            .hint("are there variables made of others many times over, or a wide `range`?")
            .into());
    }
    recipe
}

/// Whether a package is built for an architecture: melange's `target-architecture`, empty or `all` for every one.
pub fn serves(package: &manifest::Package, arch: Arch) -> bool {
    match package.target_architecture.as_slice() {
        [] => true,
        [only] if *only == "all" => true,
        names => names.iter().any(|name| *name == arch.apk()),
    }
}

#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod tests;
