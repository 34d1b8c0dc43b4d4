//! `package`: the package to build, and its metadata.
//!
//! Subpackages share [`Dependencies`], [`PackageOptions`], [`Scriptlets`] and [`Checks`].

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{
    duration,
    scriptlets::Scriptlets,
    text::{Map, Position, Text},
    walk::{Fields, Read, Report},
    yaml::Node,
};

/// The main package.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Its name.
    pub name: Text,
    /// Its version, as the project counts.
    pub version: Text,
    /// Its revision, as the packager counts.
    pub epoch: u64,
    /// One line for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: Text,
    /// Free metadata.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub annotations: Map,
    /// The project's page.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub url: Text,
    /// The commit of the build file.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub commit: Text,
    /// Architectures to build for; empty or `all`: every one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_architecture: Vec<Text>,
    /// Licences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copyright: Vec<Copyright>,
    /// Its dependencies.
    pub dependencies: Dependencies,
    /// Options of the dependency generators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<PackageOptions>,
    /// Scripts that run where the package is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scriptlets: Option<Scriptlets>,
    /// Linters.
    pub checks: Checks,
    /// The name in the vulnerability database.
    pub cpe: Cpe,
    /// File capabilities, set after the pipeline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub setcap: Vec<Capability>,
    /// How long the build may take; in JSON in nanoseconds, as Go prints it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "nanoseconds")]
    pub timeout: Option<Duration>,
    /// Resources of the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Resources of the guest of `kiln test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_resources: Option<Resources>,
    /// The place of the section.
    #[serde(skip)]
    pub at: Position,
}

impl Package {
    /// `<version>-r<epoch>`.
    pub fn full_version(&self) -> String {
        format!("{}-r{}", self.version, self.epoch)
    }
}

impl Read for Package {
    const EXPECTED: &'static str = "a map (name, version, epoch, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("package", node, report)?;
        let package = Self {
            name: fields.take("name"),
            version: fields.take("version"),
            epoch: fields.take("epoch"),
            description: fields.take("description"),
            annotations: fields.take("annotations"),
            url: fields.take("url"),
            commit: fields.take("commit"),
            target_architecture: fields.take("target-architecture"),
            copyright: fields.take("copyright"),
            dependencies: fields.take("dependencies"),
            options: fields.take("options"),
            scriptlets: fields.take("scriptlets"),
            checks: fields.take("checks"),
            cpe: fields.take("cpe"),
            setcap: fields.take("setcap"),
            timeout: fields.take::<Option<duration::Go>>("timeout").map(|duration| duration.0),
            resources: fields.take("resources"),
            test_resources: fields.take("test-resources"),
            at: node.at,
        };
        fields.close();
        Some(package)
    }
}

fn nanoseconds<S: Serializer>(timeout: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match timeout {
        // i64 in Go: the reader of the file has refused more.
        Some(timeout) => serializer.serialize_u64(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)),
        None => serializer.serialize_none(),
    }
}

/// One licence.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Copyright {
    /// The files that it covers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Text>,
    /// Its attestation.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub attestation: Text,
    /// SPDX.
    pub license: Text,
    /// A file of the workspace with its text.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub license_path: Text,
    /// The licence in place of the detected one.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detection_override: Text,
}

impl Read for Copyright {
    const EXPECTED: &'static str = "a map (license, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("package.copyright", node, report)?;
        let copyright = Self {
            paths: fields.take("paths"),
            attestation: fields.take("attestation"),
            license: fields.take("license"),
            license_path: fields.take("license-path"),
            detection_override: fields.take("detection-override"),
        };
        fields.close();
        Some(copyright)
    }
}

/// The dependencies of a package.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dependencies {
    /// Installed with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runtime: Vec<Text>,
    /// Further names that it provides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provides: Vec<Text>,
    /// Whose files it may overwrite.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<Text>,
    /// A whole number, as text.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub provider_priority: Text,
    /// A whole number, as text.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub replaces_priority: Text,
}

impl Read for Dependencies {
    const EXPECTED: &'static str = "a map (runtime, provides, replaces, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("dependencies", node, report)?;
        let dependencies = Self {
            runtime: fields.take("runtime"),
            provides: fields.take("provides"),
            replaces: fields.take("replaces"),
            provider_priority: fields.take("provider-priority"),
            replaces_priority: fields.take("replaces-priority"),
        };
        fields.close();
        Some(dependencies)
    }
}

/// Options of the dependency generators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageOptions {
    /// No `provides`.
    #[serde(skip_serializing_if = "is_false")]
    pub no_provides: bool,
    /// No `depends`.
    #[serde(skip_serializing_if = "is_false")]
    pub no_depends: bool,
    /// No `cmd:`.
    #[serde(skip_serializing_if = "is_false")]
    pub no_commands: bool,
    /// No versions on `so:`.
    #[serde(skip_serializing_if = "is_false")]
    pub no_versioned_shlib_deps: bool,
}

/// For serde: Go leaves a false out.
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

impl Read for PackageOptions {
    const EXPECTED: &'static str = "a map (no-provides, no-depends, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("package options", node, report)?;
        let options = Self {
            no_provides: fields.take("no-provides"),
            no_depends: fields.take("no-depends"),
            no_commands: fields.take("no-commands"),
            no_versioned_shlib_deps: fields.take("no-versioned-shlib-deps"),
        };
        fields.close();
        Some(options)
    }
}

/// Linters.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Checks {
    /// Linters to skip.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<Text>,
}

impl Read for Checks {
    const EXPECTED: &'static str = "a map (disabled)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("checks", node, report)?;
        let checks = Self { disabled: fields.take("disabled") };
        fields.close();
        Some(checks)
    }
}

/// The name in the vulnerability database; its keys are spelled as there.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the words of the CPE specification, NISTIR 7695")]
pub struct Cpe {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub part: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub vendor: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub product: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub edition: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub language: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub sw_edition: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub target_sw: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub target_hw: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub other: Text,
}

impl Read for Cpe {
    const EXPECTED: &'static str = "a map (vendor, product, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("package.cpe", node, report)?;
        let cpe = Self {
            part: fields.take("part"),
            vendor: fields.take("vendor"),
            product: fields.take("product"),
            edition: fields.take("edition"),
            language: fields.take("language"),
            sw_edition: fields.take("sw_edition"),
            target_sw: fields.take("target_sw"),
            target_hw: fields.take("target_hw"),
            other: fields.take("other"),
        };
        fields.close();
        Some(cpe)
    }
}

/// File capabilities of one path.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Capability {
    /// The file, as installed.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub path: Text,
    /// Capability (or several, with commas) → flags such as `+ep`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub add: Map,
    /// Why it needs them.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Text,
    /// Its place.
    #[serde(skip)]
    pub at: Position,
}

impl Read for Capability {
    const EXPECTED: &'static str = "a map (path, add, reason)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("setcap", node, report)?;
        let capability = Self {
            path: fields.take("path"),
            add: fields.take("add"),
            reason: fields.take("reason"),
            at: node.at,
        };
        fields.close();
        Some(capability)
    }
}

/// Resources of a guest, as written (`2`, `4Gi`).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Resources {
    /// How many processors.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cpu: Text,
    /// Which.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cpumodel: Text,
    /// How much memory.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub memory: Text,
    /// How large a disk.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub disk: Text,
}

impl Read for Resources {
    const EXPECTED: &'static str = "a map (cpu, memory, disk, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("resources", node, report)?;
        let resources = Self {
            cpu: fields.take("cpu"),
            cpumodel: fields.take("cpumodel"),
            memory: fields.take("memory"),
            disk: fields.take("disk"),
        };
        fields.close();
        Some(resources)
    }
}
