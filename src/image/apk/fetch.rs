//! The packages of a root from the store; those that are missing are fetched, several at once.

use std::{
    fs::File,
    io::{Seek, SeekFrom},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    apk::Record,
    event::WarningKind,
    exit::Failure,
    image::kept::{self, Kept},
    plan::{ApkPackage, ApkRoot},
};

use super::{
    http::{Client, Request},
    network::Network,
    package::Package,
    progress::Progress,
    repository::Place,
    store::PackageStore,
    workers,
};

/// Downloads at the same time. More are no faster, and servers refuse many of one client.
const WORKERS: usize = 4;
/// The most entries of all packages of a root, which are in memory at the same time.
const MOST_ENTRIES: usize = 2 << 20;
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
    let client = Client::new(network);
    let fetch = Fetch { store, client, network, arch, progress, entries: AtomicUsize::new(0) };
    workers::each(&recipe.packages, WORKERS, |package| fetch.counted(package, fetch.package(package)?))
}

struct Fetch<'a> {
    store: PackageStore,
    client: Client,
    network: &'a Network,
    arch: &'a str,
    progress: &'a Progress,
    /// The entries of all packages so far.
    entries: AtomicUsize,
}

/// A failure of a package, which the clause says of it.
fn failed(ApkPackage { name, version, repository, .. }: &ApkPackage, why: &str, way_out: &str) -> Failure {
    Failure::host(format!("the package {name}-{version} of {repository} {why}"), way_out)
}

impl Fetch<'_> {
    /// A package that is the one that was asked for, if there is room for its entries.
    fn counted(&self, package: &ApkPackage, found: Package) -> Result<Package, Failure> {
        let info = &found.control.info;
        if (&info.name, &info.version) != (&package.name, &package.version) {
            let why = format!("is another one: its .PKGINFO says {:?} {:?}", info.name, info.version);
            return Err(failed(package, &why, "Have the repository make its index anew (kiln index)."));
        }
        let before = self.entries.fetch_add(found.entries.len(), Ordering::Relaxed);
        if before + found.entries.len() > MOST_ENTRIES {
            let why = format!("is too large: with those before it, it has more than {MOST_ENTRIES} files");
            return Err(failed(package, &why, "Leave packages out of the root."));
        }
        Ok(found)
    }

    fn package(&self, package: &ApkPackage) -> Result<Package, Failure> {
        let failed = |why: &str, way_out: &str| failed(package, why, way_out);
        let stored = |error: std::io::Error| {
            let way_out = "Look at the directory of --apk-cache-dir or KILN_HOME: its rights, and its room.";
            failed(&format!("cannot be kept: {error}"), way_out)
        };
        let record = Record { checksum: &package.checksum, ..Record::default() };
        let sum = record.control_sha1().ok_or_else(|| failed("has no checksum", "Plan the build again."))?;
        if let Kept::Whole(found) = self.store.get(sum).map_err(stored)? {
            return Ok(found);
        }
        let _lock = self.store.lock(sum).map_err(stored)?;
        match self.store.get(sum).map_err(stored)? {
            Kept::Whole(found) => return Ok(found),
            Kept::Missing => {}
            Kept::Damaged(why) => self.damaged(package, &why)?,
        }
        let mut file = self.file(package).map_err(|failure| failed(&failure.what, &failure.way_out))?;
        self.store.add(&mut file, sum).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => failed(
                &format!("is not the one of the index, or damaged: {error}"),
                "Fetch the index again; if that does not help, the repository is damaged or was tampered with.",
            ),
            _ => stored(error),
        })?;
        match self.store.get(sum).map_err(stored)? {
            Kept::Whole(found) => Ok(found),
            Kept::Missing | Kept::Damaged(_) => {
                Err(failed("is not in the cache that it was put into", "Check the disk of the cache."))
            }
        }
    }

    /// What the cache has of a package is damaged: it is had again from where it came, which is told, or is an error.
    fn damaged(&self, package: &ApkPackage, why: &str) -> Result<(), Failure> {
        if self.network.offline && matches!(Place::of(&package.repository), Place::Url(_)) {
            let why = format!("is damaged in the cache ({why}), and --network off is given");
            return Err(failed(package, &why, "Run the build once with a network: it is fetched again."));
        }
        let ApkPackage { name, version, repository, .. } = package;
        self.progress.warn(
            WarningKind::CacheDamaged,
            format!("the package {name}-{version} of {repository} is damaged in the cache ({why}), and is fetched again"),
        );
        Ok(())
    }

    /// The file of a package; a failure is a predicate of it.
    fn file(&self, package: &ApkPackage) -> Result<File, Failure> {
        let name = format!("{}-{}.apk", package.name, package.version);
        let address = match Place::of(&package.repository) {
            Place::Path(path) => {
                let path = path.join(self.arch).join(name);
                return kept::open_linked(&path).map_err(|error| {
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
        let size = (package.size > 0).then_some(package.size);
        self.progress.started(&name, size);
        let mut file = self.store.scratch().map_err(|error| {
            Failure::host(format!("cannot be fetched: {error}"), "Make room in the cache (--apk-cache-dir).")
        })?;
        // One byte more tells a file that is too long.
        let limit = if package.size == 0 { PACKAGE_MAX } else { package.size };
        let request = Request { url: &address, known: None, limit };
        let mut all = 0;
        let got = self.client.get(request, &mut file, &mut |bytes| {
            all = bytes;
            self.progress.bytes(&name, bytes, size);
        });
        got.map_err(|failure| Failure { what: format!("cannot be fetched: {}", failure.what), ..failure })?;
        self.progress.done(&name, all);
        file.seek(SeekFrom::Start(0))
            .map_err(|error| Failure::host(format!("cannot be read: {error}"), ""))?;
        Ok(file)
    }
}
