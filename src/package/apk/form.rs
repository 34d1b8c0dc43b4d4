//! What the packages of a build say besides their files, and what signs them.

use std::time::SystemTime;

use crate::{
    apk::SigningKey,
    package::{configuration, dependencies::LibraryVersions, sbom::LicenseTexts},
    plan::BuildMetadata,
};

/// The parts of packages that do not come from the guest.
#[derive(Debug)]
pub struct ApkForm {
    /// The metadata of all packages.
    pub build: BuildMetadata,
    /// The text of `.melange.yaml`.
    pub configuration: String,
    /// The texts of licences that the build file names.
    pub license_texts: LicenseTexts,
    /// When the build began.
    pub started: SystemTime,
    /// The versions of shared libraries of the guest; `None` for packages that do not depend on them.
    pub library_versions: Option<LibraryVersions>,
    /// The key; `None` for packages without a signature.
    pub key: Option<SigningKey>,
}

impl ApkForm {
    /// The form of the packages of a build that begins now. `locked` are the packages of its guest (`name=version`). `hide` replaces secrets in a text. The texts of licences are known
    /// when the guest has made them.
    pub fn new(
        build: &BuildMetadata,
        locked: &[String],
        key: Option<SigningKey>,
        hide: &dyn Fn(&str) -> String,
    ) -> Self {
        let configuration = configuration::text(&build.configuration, locked, hide);
        let license_texts = LicenseTexts::new();
        let started = SystemTime::now();
        let library_versions = None;
        Self { build: build.clone(), configuration, license_texts, started, library_versions, key }
    }
}
