//! Modules of pkg-config: those that a package has, and those that they require.

use super::{analysis::Package, note::Note};
use crate::package::facts::{base_name, parent};

/// Directories that pkg-config searches. A module elsewhere is the package's own affair.
const DIRECTORIES: [&str; 5] = [
    "usr/local/lib/pkgconfig",
    "usr/local/share/pkgconfig",
    "usr/lib/pkgconfig",
    "usr/lib64/pkgconfig",
    "usr/share/pkgconfig",
];

pub(super) fn generate(package: &mut Package<'_>) {
    for file in package.walk.iter().filter(|file| file.is_regular()) {
        let Some(name) = base_name(&file.path).strip_suffix(b".pc") else { continue };
        let module = match file.special.as_ref().and_then(|special| special.pkg_config.as_ref()) {
            Some(Ok(module)) => module,
            Some(Err(why)) => {
                package.notes.add(|| Note::unreadable(&file.path, "pkg-config", why));
                continue;
            }
            None => continue,
        };
        let Some(name) = package.text(&file.path, name) else { continue };
        let entry = format!("pc:{name}={}", package.analysis.version);
        let directory = parent(&file.path);
        if !DIRECTORIES.iter().any(|known| known.as_bytes() == directory) {
            package.found.vendored.insert(entry);
            continue;
        }
        package.found.provides.insert(entry);
        for required in &module.requires {
            package.depend("pc", required);
        }
    }
}
