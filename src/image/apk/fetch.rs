//! The packages of a root from the store; those that are missing are fetched, several at once.

use std::{
    fs::File,
    io::{Seek, SeekFrom},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    apk::Record,
    exit::Failure,
    plan::{ApkPackage, ApkRoot},
};

use super::{
    http::{Client, Request},
    network::Network,
    package::Package,
    progress::{Progress, size},
    repository::Place,
    store::PackageStore,
};

/// Downloads at the same time. More are no faster, and servers refuse many of one client.
const WORKERS: usize = 4;
/// The most bytes of a package, as apko has it.
const PACKAGE_MAX: u64 = 8 << 30;

/// All packages of a recipe, in its order.
///
/// # Errors
/// A host failure that names the package and its repository.
pub(super) fn packages(
    recipe: &ApkRoot,
    arch: &str,
    network: &Network,
    cache: &Path,
    progress: &Progress,
) -> Result<Vec<Package>, Failure> {
    let store = PackageStore::open(cache).map_err(|error| {
        Failure::host(
            format!("{}: the cache of packages cannot be used: {error}", cache.display()),
            "Give a directory that this user can write with --apk-cache-dir or KILN_HOME.",
        )
    })?;
    let fetch = Fetch { store, client: Client::new(network), network, arch, progress };
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Package, Failure>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(recipe.packages.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(package) = recipe.packages.get(at) else { return };
                    let result = fetch.package(package);
                    if result.is_err() {
                        // The others stop after what they are at.
                        next.store(recipe.packages.len(), Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

struct Fetch<'a> {
    store: PackageStore,
    client: Client,
    network: &'a Network,
    arch: &'a str,
    progress: &'a Progress,
}

impl Fetch<'_> {
    fn package(&self, package: &ApkPackage) -> Result<Package, Failure> {
        let ApkPackage { name, version, repository, .. } = package;
        let failed = |why: &str, way_out: &str| {
            Failure::host(format!("the package {name}-{version} of {repository} {why}"), way_out)
        };
        let stored = |error: std::io::Error| {
            let way_out = "Look at the directory of --apk-cache-dir or KILN_HOME: its rights, and its room.";
            failed(&format!("cannot be kept: {error}"), way_out)
        };
        let record = Record { checksum: &package.checksum, ..Record::default() };
        let sum = record.control_sha1().ok_or_else(|| failed("has no checksum", "Plan the build again."))?;
        if let Some(found) = self.store.get(sum).map_err(stored)? {
            return Ok(found);
        }
        let _lock = self.store.lock(sum).map_err(stored)?;
        if let Some(found) = self.store.get(sum).map_err(stored)? {
            return Ok(found);
        }
        let mut file = self.file(package).map_err(|failure| failed(&failure.what, &failure.way_out))?;
        self.store.add(&mut file, sum).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => failed(
                &format!("is not the one of the index, or damaged: {error}"),
                "Fetch the index again; if that does not help, the repository is damaged or was tampered with.",
            ),
            _ => stored(error),
        })?;
        let found = self.store.get(sum).map_err(stored)?;
        found
            .ok_or_else(|| failed("is not in the cache that it was put into", "Check the disk of the cache."))
    }

    /// The file of a package; a failure is a predicate of it.
    fn file(&self, package: &ApkPackage) -> Result<File, Failure> {
        let name = format!("{}-{}.apk", package.name, package.version);
        let address = match Place::of(&package.repository) {
            Place::Path(path) => {
                let path = path.join(self.arch).join(name);
                return File::open(&path).map_err(|error| {
                    let way_out = "Make the index of the repository anew, or put the package there.";
                    Failure::host(format!("cannot be read: {}: {error}", path.display()), way_out)
                });
            }
            Place::Url(base) => format!("{base}/{}/{name}", self.arch),
        };
        if self.network.offline {
            let way_out = "Run the build once with a network.";
            return Err(Failure::host("is not in the cache, and --network off is given", way_out));
        }
        self.progress.note(format!("fetch {name} ({})", size(package.size)));
        let mut file = self.store.scratch().map_err(|error| {
            Failure::host(format!("cannot be fetched: {error}"), "Make room in the cache (--apk-cache-dir).")
        })?;
        // One byte more tells a file that is too long.
        let limit = if package.size == 0 { PACKAGE_MAX } else { package.size };
        let request = Request { url: &address, known: None, limit };
        let got = self.client.get(request, &mut file, &mut |bytes| self.progress.bytes(&name, bytes));
        got.map_err(|failure| Failure { what: format!("cannot be fetched: {}", failure.what), ..failure })?;
        file.seek(SeekFrom::Start(0))
            .map_err(|error| Failure::host(format!("cannot be read: {error}"), ""))?;
        Ok(file)
    }
}
