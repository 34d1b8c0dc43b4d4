//! The sources of a recipe: the files and repositories of its `fetch` and `git-checkout` steps.
//!
//! Before it: a [`Recipe`], in which every definition has been expanded, so that steps of subpackages and of definitions
//! within definitions are there, with the values of their inputs. After it: [`fill`], which fetches them ahead of a build,
//! and [`missing`], which finds those that a build without a network would lack.
//!
//! Only kiln's own definitions are known: a user's definition of the same name may do anything.

mod checked;
mod download;
mod fill;
mod git;
mod git_settings;
mod inherited;
mod limit;
mod part;
mod presence;
mod source;
mod url;
mod usage;

use std::path::Path;

use crate::{
    compile::{Recipe, Run},
    exit::Failure,
};

pub use fill::fill;
pub use limit::FetchLimit;
pub use presence::missing;
pub use source::{Algorithm, FileSource, GitSource, Source};

/// Checks the form of sources, before a program gets one as an argument.
///
/// # Errors
/// A [`Failure`] (3) that lists those of `file` whose form is wrong.
pub fn check(sources: &[Source], file: &Path) -> Result<(), Failure> {
    fill::check(sources)
        .map(drop)
        .map_err(|failure| Failure { what: format!("{}: {}", file.display(), failure.what), ..failure })
}

/// The sources of all steps that would run, each once, in the order of the steps.
pub fn of(recipe: &Recipe) -> Vec<Source> {
    let mut sources = Vec::new();
    for run in recipe.package_steps().into_iter().flat_map(|package| package.runs) {
        if let Some(source) = of_run(run).filter(|source| !sources.contains(source)) {
            sources.push(source);
        }
    }
    sources
}

fn of_run(run: Run) -> Option<Source> {
    let definition = run.uses.last()?;
    // The name of a built-in definition.
    if *run.origin.file != *Path::new(&format!("{definition}.yaml (built in)")) {
        return None;
    }
    let input = |name: &str| run.environment.get(name).cloned().unwrap_or_default();
    match definition.as_str() {
        "fetch" => {
            let hashes = [Algorithm::Sha256, Algorithm::Sha512].map(|algorithm| {
                (algorithm, input(&format!("input_expected_{}", algorithm.name())).to_ascii_lowercase())
            });
            let hashes = hashes.into_iter().filter(|(_, hash)| !hash.is_empty()).collect();
            Some(Source::File(FileSource { uri: input("input_uri"), hashes }))
        }
        "git-checkout" => {
            let repository = input("input_repository");
            let mut inputs = run.environment;
            inputs.retain(|name, _| name.starts_with("input_") && name != "input_destination");
            Some(Source::Git(GitSource { repository, inputs, script: run.script }))
        }
        _ => None,
    }
}
