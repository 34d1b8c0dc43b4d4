//! apk installs each package of the cases into a root of its own. A stub provides what they need.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use super::package::document;
use crate::{
    apk_repository::{self, Data},
    apk_tools,
};

/// A version above those of the packages: the cases provide the same names, and not all of them can stand beside each other.
const PREFERRED: &str = "99";

/// The packages that apk does not install, with what it says. `packages` are contents by the names of files; `site` has the key by
/// which they are signed.
pub(super) fn refused(tools: &Path, site: &Path, packages: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let repository = site.join("install/x86_64");
    fs::create_dir_all(&repository).expect("made");
    let keys = site.join("install-keys");
    fs::create_dir(&keys).expect("made");
    fs::copy(site.join("testix.rsa.pub"), keys.join("testix.rsa.pub")).expect("copied");
    let (mut names, mut wanted, mut provided) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    for (file, bytes) in packages {
        fs::write(repository.join(file), bytes).expect("written");
        let document = document(bytes);
        let values = |key: &str| fields(&document, key);
        names.extend(values("pkgname"));
        provided.extend(values("provides").iter().map(|text| split(text).0));
        wanted.extend(values("depend").iter().map(|text| split(text)));
    }
    wanted.retain(|name, _| !name.starts_with('!') && !names.contains(name));
    // A package that provides a name itself cannot stand beside a stub of that name.
    let (of_cases, others): (Vec<_>, Vec<_>) = wanted.iter().partition(|(name, _)| provided.contains(*name));
    stub(&repository, "stub-of-cases", &of_cases);
    stub(&repository, "stub", &others);
    index(site, &repository);
    let keys = keys.display().to_string();
    let added = names.iter().enumerate().filter_map(|(number, name)| {
        let root = format!("install-root-{number}");
        let flags = ["--root", &root, "--arch", "x86_64", "--keys-dir", &keys, "--initdb", "--no-scripts"];
        let source = ["--no-network", "--no-cache", "--repositories-file", "/dev/null"];
        let last = ["--repository", "install", "add", name];
        let user = if nix::unistd::Uid::effective().is_root() { &[][..] } else { &["--usermode"] };
        let output = apk_tools::apk(tools, site, &[&flags[..], &source, user, &last].concat());
        (!output.status.success()).then(|| format!("{name}: {}", apk_tools::said(&output)))
    });
    added.collect()
}

/// Adds a package that provides these names in these versions.
fn stub(repository: &Path, name: &str, provides: &[(&String, &String)]) {
    let lines: String =
        provides.iter().map(|(name, version)| format!("provides = {name}={version}\n")).collect();
    apk_repository::package(repository, name, "1-r0", &lines, Data::default());
}

/// Makes the index of all packages of the repository.
fn index(site: &Path, repository: &Path) {
    let files = fs::read_dir(repository).expect("it is there").map(|file| file.expect("listed").path());
    let mut packages: Vec<String> = files.map(|path| path.display().to_string()).collect();
    packages.sort();
    let index = ["index", "-o", "install/x86_64/APKINDEX.tar.gz", "--signing-key", "testix.rsa"];
    let packages = packages.iter().map(String::as_str);
    apk_repository::kiln(site, &index.into_iter().chain(packages).collect::<Vec<_>>());
}

/// The values of a field of `.PKGINFO`.
fn fields(document: &Value, key: &str) -> Vec<String> {
    let lines = document["pkginfo"].as_array().into_iter().flatten().filter(|line| line[0] == key);
    lines.filter_map(|line| line[1].as_str().map(str::to_owned)).collect()
}

/// The name in a dependency or provide, and a version that fits.
fn split(text: &str) -> (String, String) {
    let end = text.find(['=', '<', '>', '~']).unwrap_or(text.len());
    let (name, version) = text.split_at(end);
    let version = version.trim_start_matches(['=', '<', '>', '~']);
    (name.to_owned(), if version.is_empty() { PREFERRED } else { version }.to_owned())
}
