//! Kernels and their modules.

use super::analysis::Package;

pub(super) fn generate(package: &mut Package<'_>) {
    for file in package.walk.iter().filter(|file| file.is_regular()) {
        let Some(special) = &file.special else { continue };
        if let Some(version) = &special.linux_version {
            package.found.provides.insert(format!("linux:{version}"));
        }
        if let Some(version) = &special.vermagic {
            package.depend("linux", version);
        }
    }
}
