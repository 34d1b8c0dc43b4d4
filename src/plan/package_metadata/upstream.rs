//! The upstream sources of a package: its steps `fetch` and `git-checkout`.

use serde::Serialize;

use crate::{compile::Step, manifest::Map};

/// A source that a step fetches. Values may be empty, and are as the compiled step has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "uses", rename_all = "kebab-case")]
pub enum Upstream {
    /// A file: `fetch`.
    Fetch {
        /// The place of the step among those of its package, from 0.
        step: usize,
        /// Where it is fetched from.
        uri: String,
        /// Its digest, in hexadecimal digits.
        sha256: String,
        /// Its digest, in hexadecimal digits.
        sha512: String,
        /// Its name for a package URL.
        purl_name: String,
        /// Its version for a package URL.
        purl_version: String,
    },
    /// A repository: `git-checkout`.
    GitCheckout {
        /// The place of the step among those of its package, from 0.
        step: usize,
        /// Where it is fetched from.
        repository: String,
        /// The branch.
        branch: String,
        /// The tag.
        tag: String,
        /// The commit.
        commit: String,
    },
}

/// The sources of the top-level steps.
pub(super) fn of_steps(steps: &[Step]) -> Vec<Upstream> {
    steps.iter().enumerate().filter_map(|(index, step)| of_step(index, step)).collect()
}

fn of_step(step: usize, Step { uses, with, .. }: &Step) -> Option<Upstream> {
    let text = |key: &str| text(with, key);
    match uses.as_str() {
        "fetch" => Some(Upstream::Fetch {
            step,
            uri: text("uri"),
            sha256: text("expected-sha256"),
            sha512: text("expected-sha512"),
            purl_name: text("purl-name"),
            purl_version: text("purl-version"),
        }),
        "git-checkout" => Some(Upstream::GitCheckout {
            step,
            repository: text("repository"),
            branch: text("branch"),
            tag: text("tag"),
            commit: text("expected-commit"),
        }),
        _ => None,
    }
}

fn text(with: &Map, key: &str) -> String {
    with.get(key).map(ToString::to_string).unwrap_or_default()
}
