//! From the lines of a build file to the packages of a root: keys, indexes, and crate::apk's resolver. Nothing but indexes and
//! keys is fetched.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    apk::{self, Index, PublicKey},
    event::WarningKind,
    exit::Failure,
    plan::{ApkKey, ApkPackage, ApkRoot, SolverOption, is_loopback},
};

use super::{
    http::Client,
    index::{self, Trust},
    network::Network,
    progress::Progress,
    remote::Remote,
    repository::{self, Place, Repository},
    url, workers,
};

/// Indexes that are read at the same time.
const WORKERS: usize = 8;
/// The most bytes and packages of all indexes, which are in memory together: a hundred distributions have fewer.
const MOST_BYTES: usize = 1 << 30;
const MOST_RECORDS: usize = 2 << 20;
/// The most keys: each signature is compared with those of its name.
const MOST_KEYS: usize = 64;
/// The most bytes of a key.
const KEY_MAX: u64 = 64 << 10;

/// How many repositories without an index a message names.
const SHOWN: usize = 5;

/// What a root is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApkRequest {
    /// Lines of repositories, which the guest gets, too.
    pub repositories: Vec<String>,
    /// Lines of repositories that the guest does not get.
    pub build_repositories: Vec<String>,
    /// The directory of packages that earlier builds of the same command have made: a repository that the guest does not get.
    pub built: Option<String>,
    /// Paths and URLs of public keys.
    pub keyring: Vec<String>,
    /// Public keys that are known already. The guest's apk does not trust them.
    pub trusted: Vec<ApkKey>,
    /// Names of packages with constraints and tags.
    pub packages: Vec<String>,
    /// apk's name of the architecture.
    pub arch: String,
    /// `--ignore-signatures`.
    pub ignore_signatures: bool,
    /// `--solver`.
    pub solver: SolverOption,
}

impl ApkRequest {
    /// The addresses of all repositories, without names and passwords, as chosen packages have them.
    ///
    /// # Errors
    /// Names the line that is not a repository.
    pub fn addresses(&self) -> Result<Vec<String>, Failure> {
        Ok(self.all_repositories()?.iter().map(|repository| repository.place.plain()).collect())
    }

    /// All repositories, sorted as text.
    fn all_repositories(&self) -> Result<Vec<Repository>, Failure> {
        let lines = self.repositories.iter().chain(&self.build_repositories);
        let mut all = repository::parse(lines.cloned())?;
        all.extend(self.built.as_deref().map(Repository::directory));
        all.sort_by(|one, other| one.line.cmp(&other.line));
        all.dedup();
        Ok(all)
    }
}

/// Chooses the packages of a root.
///
/// # Errors
/// A host failure for a repository or key that cannot be had or trusted, and for packages that cannot be chosen.
pub(super) fn resolve(
    request: &ApkRequest,
    network: &Network,
    cache: &Path,
    progress: &Progress,
) -> Result<ApkRoot, Failure> {
    let client = Client::new(network);
    let remote = Remote::new(network, &client, cache);
    let repositories = request.all_repositories()?;
    let keys = keys(&remote, &request.keyring, progress)?;
    let trust = match request.ignore_signatures {
        true => Trust::Ignored,
        false => Trust::Keys(trusted(&keys, &request.trusted)?),
    };
    let texts = indexes(&remote, &repositories, request, &trust, progress)?;
    let (mut parsed, mut records) = (Vec::new(), 0);
    for (repository, text) in repositories.iter().zip(&texts) {
        let index = Index::parse(text.as_deref().unwrap_or_default()).map_err(|error| {
            Failure::host(
                format!("the index of {} cannot be read: {error}", repository.shown()),
                "Have the repository make its index anew (kiln index), or take another repository.",
            )
        })?;
        records += index.records.len();
        if records > MOST_RECORDS {
            return Err(too_much(repository, &format!("{MOST_RECORDS} packages")));
        }
        parsed.push(index);
    }
    let shown: Vec<String> = repositories.iter().map(|repository| repository.place.plain()).collect();
    let sources: Vec<apk::Repository<'_>> = repositories
        .iter()
        .zip(&shown)
        .zip(&parsed)
        .map(|((repository, url), index)| apk::Repository { url, tag: repository.tag.as_deref(), index })
        .collect();
    let chosen = choose(request, &sources).map_err(|(what, way_out)| {
        Failure::host(what, format!("{way_out}{}", without_index(&repositories, &texts)))
    })?;
    let packages = chosen.iter().map(|chosen| package(chosen, &repositories));
    let packages = packages.collect::<Result<Vec<ApkPackage>, _>>()?;
    let lines = repository::parse(request.repositories.iter().cloned())?;
    let lines = lines.iter().map(Repository::plain).collect();
    Ok(ApkRoot { packages, repositories: lines, keys: keys.into_iter().map(|(_, key)| key).collect() })
}

/// Chooses the packages; an error is what is wrong, and the way out.
fn choose<'a>(
    request: &'a ApkRequest,
    sources: &'a [apk::Repository<'a>],
) -> Result<Vec<apk::Chosen<'a>>, (String, String)> {
    let error = match apk::solve(&request.packages, sources) {
        Ok(chosen) => return Ok(chosen),
        Err(error) => error,
    };
    let what = format!("the packages of the root cannot be chosen: {error}");
    let correct = "Correct the names and versions, or add a repository that has them (-r).".to_owned();
    match (request.solver, apk::solve_completely(&request.packages, sources)) {
        (SolverOption::Complete, Ok(chosen)) => Ok(chosen),
        (SolverOption::Complete, Err(why)) => Err((format!("{what}; --solver complete: {why}"), correct)),
        // It fails as apko does, and a set exists.
        (SolverOption::Greedy, Ok(chosen)) => Err((
            what,
            format!("Give --solver complete: it finds a set of {} packages. {correct}", chosen.len()),
        )),
        (SolverOption::Greedy, Err(_)) => Err((what, correct)),
    }
}

/// The end of a way out: which repositories could not be looked at.
fn without_index(repositories: &[Repository], texts: &[Option<String>]) -> String {
    let empty = texts.iter().zip(repositories).filter(|(text, _)| text.is_none());
    let mut empty: Vec<String> = empty.map(|(_, repository)| repository.shown()).collect();
    let left_out = empty.len().saturating_sub(SHOWN);
    empty.truncate(SHOWN);
    match (empty.is_empty(), left_out) {
        (true, _) => String::new(),
        (false, 0) => format!(" These repositories have no index: {}.", empty.join(", ")),
        (false, _) => {
            format!(" These repositories have no index: {}, and {left_out} more.", empty.join(", "))
        }
    }
}

fn package(chosen: &apk::Chosen<'_>, repositories: &[Repository]) -> Result<ApkPackage, Failure> {
    let record = chosen.record;
    let from = repositories.get(chosen.repository);
    let repository = from.map_or(String::new(), |repository| repository.place.plain());
    let package = ApkPackage {
        name: record.name.into(),
        version: record.version.into(),
        repository,
        checksum: record.checksum.into(),
        size: record.size,
        tag: from.and_then(|repository| repository.tag.clone()),
        versioned_libraries: versioned_libraries(record.provides.iter()),
    };
    if !package.is_valid() || record.control_sha1().is_none() {
        let repository = &package.repository;
        return Err(Failure::host(
            format!(
                "the index of {repository} has a record of {:?} {:?} that names no package that can be verified",
                record.name, record.version
            ),
            "Have the repository make its index anew (kiln index), or take another repository.",
        ));
    }
    Ok(package)
}

/// The names of the shared libraries among provides that have a version.
fn versioned_libraries<'r>(provides: impl Iterator<Item = &'r str>) -> Vec<String> {
    let versioned = provides.filter_map(|text| text.strip_prefix("so-ver:")?.split_once('='));
    versioned
        .filter(|(_, version)| apk::Version::parse(version).is_some())
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn keys(
    remote: &Remote,
    keyring: &[String],
    progress: &Progress,
) -> Result<Vec<(PublicKey, ApkKey)>, Failure> {
    let mut found: Vec<(PublicKey, ApkKey)> = Vec::new();
    let mut places: Vec<&String> = keyring.iter().collect();
    places.sort();
    places.dedup();
    if places.len() > MOST_KEYS {
        let what = format!("there are {} keys, and at most {MOST_KEYS} are read", places.len());
        return Err(Failure::build_file(what, "Leave out those that have signed no index."));
    }
    for text in places {
        let place = Place::of(text);
        let refuse = |why: &str| {
            Failure::host(
                format!("the key {} {why}", place.shown()),
                "Correct it in environment.contents.keyring or -k: a path or a URL of a PEM file.",
            )
        };
        let name = place.file_name().filter(|name| !name.is_empty() && !name.starts_with('.'));
        let name = name.ok_or_else(|| refuse("has no name"))?;
        if matches!(&place, Place::Url(address) if !url::is_secure(address) && !is_loopback(address)) {
            let text = format!(
                "the key {} comes without TLS: one that was put in its place on the way would be trusted",
                place.shown()
            );
            progress.warn(WarningKind::KeyInsecure, text);
        }
        let read = remote.read(&place, KEY_MAX, "the key", progress)?;
        let fetched = read.ok_or_else(|| refuse("does not exist"))?;
        let pem = String::from_utf8(fetched.bytes.clone()).map_err(|_| refuse("is not UTF-8"))?;
        let key =
            PublicKey::parse(&pem, &name).map_err(|failure| refuse(&format!("is none: {}", failure.what)))?;
        fetched.keep()?;
        found.push((key, ApkKey { name, pem }));
    }
    Ok(found)
}

/// The keys that indexes are trusted by.
fn trusted(keys: &[(PublicKey, ApkKey)], more: &[ApkKey]) -> Result<Vec<PublicKey>, Failure> {
    let mut all: Vec<PublicKey> = keys.iter().map(|(key, _)| key.clone()).collect();
    for ApkKey { name, pem } in more {
        all.push(PublicKey::parse(pem, name)?);
    }
    Ok(all)
}

/// The texts of all indexes, several of which are fetched at the same time.
fn indexes(
    remote: &Remote,
    repositories: &[Repository],
    request: &ApkRequest,
    trust: &Trust,
    progress: &Progress,
) -> Result<Vec<Option<String>>, Failure> {
    let bytes = AtomicUsize::new(0);
    workers::each(repositories, WORKERS, |repository| {
        let text = index::read(remote, repository, &request.arch, trust, progress)?;
        let own = text.as_ref().map_or(0, String::len);
        match bytes.fetch_add(own, Ordering::Relaxed).saturating_add(own) > MOST_BYTES {
            true => Err(too_much(repository, &format!("{MOST_BYTES} bytes"))),
            false => Ok(text),
        }
    })
}

fn too_much(repository: &Repository, most: &str) -> Failure {
    Failure::host(
        format!(
            "the index of {}, together with those of the other repositories, has more than {most}",
            repository.shown()
        ),
        "Leave out repositories that no package is taken from.",
    )
}
