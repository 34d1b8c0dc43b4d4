//! The index of a repository: fetched, and trusted only by its signature.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{
    apk::{
        Algorithm, IndexArchive, PublicKey,
        section::INDEX_MAX,
        tar::{content, entries_in_memory},
    },
    event::WarningKind,
    exit::Failure,
};

use super::{
    package::shown,
    progress::Progress,
    remote::{Fetched, Remote},
    repository::{Place, Repository},
};

/// The file in the directory of each architecture.
const NAME: &str = "APKINDEX.tar.gz";
/// The most signatures of an index.
const MOST_SIGNATURES: usize = 64;
/// How the entries of signatures begin, and what is signed.
const SIGNATURES: [(&str, Algorithm); 2] =
    [(".SIGN.RSA.", Algorithm::Rsa), (".SIGN.RSA256.", Algorithm::Rsa256)];

/// The keys that indexes are trusted by.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// One of these has signed an index.
    Keys(Vec<PublicKey>),
    /// `--ignore-signatures`.
    Ignored,
}

/// Reads the index of a repository: its text. `None` for a directory without one.
///
/// # Errors
/// A host failure for an index that cannot be had, is not signed by one of the keys, or is damaged.
pub(super) fn read(
    remote: &Remote,
    repository: &Repository,
    arch: &str,
    trust: &Trust,
    progress: &Progress,
) -> Result<Option<String>, Failure> {
    let place = repository.file(arch, NAME);
    let name = format!("the index of {}", repository.shown());
    let fetched =
        remote.read(&place, INDEX_MAX, &name, progress).map_err(|failure| with_images(&place, failure))?;
    let Some(fetched) = fetched else {
        let text = format!("{}: there is no {NAME}, and the repository is not used", place.shown());
        progress.warn(WarningKind::RepositoryUnused, text);
        return Ok(None);
    };
    let text = verified(&fetched, trust, &name)?;
    fetched.keep()?;
    Ok(Some(text))
}

/// Another root is a way out, where the repositories of a distribution cannot be reached.
fn with_images(place: &Place, failure: Failure) -> Failure {
    match place {
        Place::Path(_) => failure,
        Place::Url(_) => {
            let way_out = format!(
                "{} For a root from Debian's packages of the same names: --image debian:SUITE.",
                failure.way_out
            );
            Failure { way_out, ..failure }
        }
    }
}

fn verified(fetched: &Fetched, trust: &Trust, name: &str) -> Result<String, Failure> {
    let damaged = |error: &dyn std::fmt::Display| {
        Failure::host(
            format!("{name} is damaged: {error}"),
            "Have the repository make its index anew (kiln index), or take another repository.",
        )
    };
    let archive = IndexArchive::read(&fetched.bytes).map_err(|error| damaged(&error))?;
    if let Trust::Keys(keys) = trust {
        let signature = archive.signature.ok_or_else(|| untrusted(format!("{name} is not signed")))?;
        check(&signature, &archive.unsigned, keys)
            .map_err(|error| damaged(&error))?
            .map_err(|why| untrusted(format!("{name} {why}")))?;
    }
    Ok(archive.records)
}

fn untrusted(what: String) -> Failure {
    Failure::host(
        what,
        "Give its key with -k or environment.contents.keyring; or --ignore-signatures, if you trust it and the way to it.",
    )
}

/// Whether one of the keys has made one of the signatures; the inner error is a predicate of the index.
fn check(signatures: &[u8], signed: &[u8], keys: &[PublicKey]) -> std::io::Result<Result<(), String>> {
    if keys.is_empty() {
        return Ok(Err("is signed, and no key was given to verify it".into()));
    }
    let names = || keys.iter().map(PublicKey::name).collect::<Vec<_>>().join(", ");
    let (mut unknown, mut wrong) = (Vec::new(), Vec::new());
    for entry in entries_in_memory(signatures)?.iter().take(MOST_SIGNATURES) {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let kind = SIGNATURES.iter().find_map(|(prefix, kind)| Some((path.strip_prefix(prefix)?, kind)));
        let Some((signer, algorithm)) = kind else { continue };
        let bare = |name: &str| name.strip_suffix(".rsa.pub").unwrap_or(name).to_owned();
        // Keys of two distributions may have one name.
        let of_signer: Vec<&PublicKey> = keys.iter().filter(|key| bare(key.name()) == bare(signer)).collect();
        if of_signer.is_empty() {
            unknown.push(shown(signer.as_bytes()));
            continue;
        }
        let digest = match algorithm {
            Algorithm::Rsa => Sha1::digest(signed).to_vec(),
            Algorithm::Rsa256 => Sha256::digest(signed).to_vec(),
        };
        let signature = content(signatures, entry);
        if of_signer.iter().any(|key| key.verifies(*algorithm, &digest, signature)) {
            return Ok(Ok(()));
        }
        wrong.push(shown(signer.as_bytes()));
    }
    Ok(Err(match (wrong.is_empty(), unknown.is_empty()) {
        (false, _) => format!(
            "has a wrong signature of {}: the index was changed, or the key is another one of this name",
            wrong.join(", ")
        ),
        (true, false) => format!("is signed by {}, and the keys are {}", unknown.join(", "), names()),
        (true, true) => "has no signature of a kind that is safe (RSA, RSA256)".into(),
    }))
}
