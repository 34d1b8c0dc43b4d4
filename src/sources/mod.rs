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
mod url;
mod usage;

use std::{collections::BTreeMap, path::Path};

use crate::{
    compile::{Recipe, Run},
    exit::Failure,
};

pub use fill::fill;
pub use limit::FetchLimit;
pub use presence::missing;

/// A source that a step takes from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A `fetch`.
    File(FileSource),
    /// A `git-checkout`.
    Git(GitSource),
}

impl Source {
    /// Its address, as written.
    pub fn address(&self) -> &str {
        match self {
            Self::File(file) => &file.uri,
            Self::Git(git) => &git.repository,
        }
    }
}

/// A file and its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSource {
    /// Its address.
    pub uri: String,
    /// Its hashes as lower-case hex; the cache has it under the first one.
    pub hashes: Vec<(Algorithm, String)>,
}

/// A hash that a file can be expected to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// As names in the cache begin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// A repository, and the commit and files of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// Its address.
    pub repository: String,
    /// All inputs of the step, as the variables of its script.
    pub inputs: BTreeMap<String, String>,
    /// The script of the step, which also fills the cache.
    pub script: String,
}

impl GitSource {
    fn input(&self, name: &str) -> &str {
        self.inputs.get(name).map_or("", String::as_str)
    }
}

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

/// Whether a step reaches it without a network: on a disk, or at a server of its own build.
fn is_local(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        // `host:path` is ssh's; a path has no colon before its first slash.
        return url.split('/').next().is_none_or(|first| !first.contains(':'));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    scheme == "file" || host == "localhost" || host == "::1" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_address_needs_no_network() {
        for url in [
            "file:///srv/x",
            "/srv/x.git",
            "../x",
            "http://127.0.0.1:8418/main",
            "https://me@localhost/x",
            "http://[::1]:80/x",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "https://example.org/x",
            "git@example.org:x/y.git",
            "ssh://example.org/x",
            "http://localhost.example.org",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }
}
