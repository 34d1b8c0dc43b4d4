//! Whether the cache has a source, by its name, so that a build that must fail does so before its guest starts.
//!
//! The step itself checks the content. Sources that cannot be known from outside (submodules, a commit within a history)
//! count as present.

use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{FileSource, GitSource, Source};

/// The `sources` that a build without a network would find neither in the cache nor in `workspace`, a line each.
pub fn missing(sources: &[Source], cache: Option<&Path>, workspace: Option<&Path>) -> Vec<String> {
    sources
        .iter()
        .filter_map(|source| match source {
            // A step that fetches the same file from a server of the build itself puts it into the cache.
            Source::File(file) if cache.is_some() && from_nearby(file, sources) => None,
            Source::File(file) => file_missing(file, cache, workspace),
            Source::Git(git) => git_missing(git, cache),
        })
        .collect()
}

fn from_nearby(file: &FileSource, sources: &[Source]) -> bool {
    sources.iter().any(|source| match source {
        Source::File(other) => {
            is_local(&other.uri) && other.hashes.iter().any(|hash| file.hashes.contains(hash))
        }
        Source::Git(_) => false,
    })
}

fn file_missing(file: &FileSource, cache: Option<&Path>, workspace: Option<&Path>) -> Option<String> {
    let FileSource { uri, hashes } = file;
    let name = uri.rsplit('/').next().unwrap_or_default();
    if is_local(uri) || workspace.is_some_and(|workspace| workspace.join(name).is_file()) {
        return None;
    }
    let Some((algorithm, hash)) = hashes.first() else {
        return Some(format!("{uri}: it has no expected hash, so that no cache can have it"));
    };
    let kept = |cache: &Path| {
        hashes.iter().any(|(algorithm, hash)| cache.join(format!("{}:{hash}", algorithm.name())).is_file())
    };
    (!cache.is_some_and(kept)).then(|| format!("{uri} ({}:{hash})", algorithm.name()))
}

fn git_missing(git: &GitSource, cache: Option<&Path>) -> Option<String> {
    let repository = &git.repository;
    if is_local(repository) {
        return None;
    }
    let commit = git.input("input_expected_commit").to_ascii_lowercase();
    let named = !git.input("input_branch").is_empty() || !git.input("input_tag").is_empty();
    let never = match (commit.is_empty(), named, git.input("input_sparse_paths").is_empty()) {
        (true, _, _) => Some("it has no expected-commit, so that only the network knows which one is meant"),
        (_, false, _) => {
            Some("it names neither branch nor tag, so that only the network knows which one is meant")
        }
        (_, _, false) => Some("sparse-paths are not kept in the cache"),
        (false, true, true) => None,
    };
    if let Some(why) = never {
        return Some(format!("{repository}: {why}"));
    }
    let lists = ["all.refs".to_owned(), format!("{commit}-{}.refs", depth(git))];
    let kept = |cache: &Path| {
        let store = cache.join("git").join(key(repository));
        lists.iter().any(|list| store.join(list).is_file())
    };
    (!cache.is_some_and(kept)).then(|| format!("{repository} (commit {commit})"))
}

/// The directory of a repository in the cache.
pub(super) fn key(repository: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(repository.as_bytes()))
}

/// How much history the step asks for, as its script decides it.
fn depth(git: &GitSource) -> &str {
    match git.input("input_depth") {
        "unset" => {
            let tip = git.input("input_expected_commit_is_branch_tip") == "true";
            if git.input("input_branch").is_empty() || tip { "1" } else { "-1" }
        }
        depth => depth,
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
