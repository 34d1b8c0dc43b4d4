//! The metadata of one package or subpackage.

use serde::Serialize;

use super::{FileCapability, Scriptlets, Upstream, file_capability, upstream};
use crate::{
    compile::{Recipe, Step, Subpackage, Test},
    manifest::{Copyright, Cpe, Dependencies, Package, PackageOptions, Text},
    plan::{OriginName, PackagingOptions},
};

/// What a package says of itself besides its files. Texts of one line have no line break in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageMetadata {
    /// Its name.
    pub name: String,
    /// `<version>-r<epoch>`.
    pub version: String,
    /// The architecture, as apk spells it.
    pub arch: String,
    /// The name of the main package, or its own.
    pub origin: String,
    /// One line for people; may be empty.
    pub description: String,
    /// The project's page; may be empty.
    pub url: String,
    /// The commit of the build file; `unknown` where there is none.
    pub commit: String,
    /// `--namespace`: the maintainer.
    pub namespace: String,
    /// The licences of the main package.
    pub licenses: Vec<License>,
    /// Dependencies of the build file.
    pub declared: Declared,
    /// Options of the generators of dependencies.
    pub options: PackageOptions,
    /// Scripts that run where it is installed.
    pub scriptlets: Scriptlets,
    /// Capabilities of its files: only the main package has some.
    pub file_capabilities: Vec<FileCapability>,
    /// Linters whose findings are warnings: `checks.disabled`.
    pub disabled_checks: Vec<String>,
    /// Pipelines that the package's own test uses.
    pub test_uses: TestUses,
    /// The sources of the top-level steps of a subpackage; empty for the main package, whose sources the build has.
    pub upstream: Vec<Upstream>,
}

impl PackageMetadata {
    /// `<name>-<version>-r<epoch>`: the name of its file, without the ending.
    pub fn file_stem(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// A licence of the main package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct License {
    /// An SPDX expression, or any name.
    pub name: String,
    /// The attestation; may be empty.
    pub attestation: String,
    /// The file of the workspace with its text, relative to the workspace; `None` where none is named.
    pub path: Option<String>,
    /// A licence whose text is expected in that file, in the place of its own; `None` where none is named.
    pub detection_override: Option<String>,
}

impl License {
    /// A licence of a build file.
    pub fn of(copyright: &Copyright) -> Self {
        let Copyright { paths: _, attestation, license, license_path, detection_override } = copyright;
        let given = |text: &Text| Some(text.to_string()).filter(|text| !text.is_empty());
        Self {
            name: line(license),
            attestation: attestation.to_string(),
            path: given(license_path),
            detection_override: given(detection_override),
        }
    }
}

/// The dependencies that a build file declares, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Declared {
    /// Packages that are installed with it.
    pub runtime: Vec<String>,
    /// Further names that it provides.
    pub provides: Vec<String>,
    /// Packages whose files it may overwrite.
    pub replaces: Vec<String>,
    /// A whole number as text; `None` where the build file has none.
    pub provider_priority: Option<String>,
    /// A whole number as text; `None` where the build file has none.
    pub replaces_priority: Option<String>,
}

impl Declared {
    fn of(dependencies: &Dependencies) -> Self {
        let Dependencies { runtime, provides, replaces, provider_priority, replaces_priority } = dependencies;
        let given = |text: &Text| Some(text.to_string()).filter(|text| !text.is_empty());
        Self {
            runtime: words(runtime),
            provides: words(provides),
            replaces: words(replaces),
            provider_priority: given(provider_priority),
            replaces_priority: given(replaces_priority),
        }
    }
}

/// Which pipelines the top-level steps of a package's own test use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TestUses {
    /// `test/ldd-check` or `test/tw/ldd-check`.
    pub ldd_check: bool,
    /// `test/pkgconf`.
    pub pkgconf: bool,
}

impl TestUses {
    fn of(test: Option<&Test>) -> Self {
        let steps: &[Step] = test.map(|test| &*test.steps).unwrap_or_default();
        let uses = |names: &[&str]| steps.iter().any(|step| names.contains(&step.uses.as_str()));
        Self { ldd_check: uses(&["test/ldd-check", "test/tw/ldd-check"]), pkgconf: uses(&["test/pkgconf"]) }
    }
}

/// The main package, then the subpackages that are made.
pub(super) fn all(recipe: &Recipe, commit: &str, options: &PackagingOptions) -> Vec<PackageMetadata> {
    let main = main(recipe, commit, options);
    let made = recipe.subpackages.iter().filter(|subpackage| subpackage.condition.holds());
    let subpackages: Vec<PackageMetadata> =
        made.map(|subpackage| of_subpackage(subpackage, &main, options)).collect();
    std::iter::once(main).chain(subpackages).collect()
}

fn main(recipe: &Recipe, commit: &str, options: &PackagingOptions) -> PackageMetadata {
    let package = &recipe.package;
    PackageMetadata {
        name: package.name.to_string(),
        version: package.full_version(),
        arch: recipe.arch.apk().to_owned(),
        origin: package.name.to_string(),
        description: line(&package.description),
        url: line(&package.url),
        commit: own_commit(&package.commit, commit),
        namespace: options.namespace.clone(),
        licenses: package.copyright.iter().map(License::of).collect(),
        declared: Declared::of(&package.dependencies),
        options: package.options.unwrap_or_default(),
        scriptlets: Scriptlets::of(package.scriptlets.as_ref()),
        file_capabilities: file_capability::all(&package.setcap),
        disabled_checks: lines(&package.checks.disabled),
        test_uses: TestUses::of(recipe.test.as_ref()),
        upstream: Vec::new(),
    }
}

fn of_subpackage(
    subpackage: &Subpackage,
    main: &PackageMetadata,
    options: &PackagingOptions,
) -> PackageMetadata {
    let name = subpackage.name.to_string();
    PackageMetadata {
        origin: match options.origin {
            OriginName::Main => main.name.clone(),
            OriginName::Own => name.clone(),
        },
        name,
        description: line(&subpackage.description),
        url: line(&subpackage.url),
        commit: own_commit(&subpackage.commit, &main.commit),
        declared: Declared::of(&subpackage.dependencies),
        options: subpackage.options.unwrap_or_default(),
        scriptlets: Scriptlets::of(subpackage.scriptlets.as_ref()),
        file_capabilities: Vec::new(),
        disabled_checks: lines(&subpackage.checks.disabled),
        test_uses: TestUses::of(subpackage.test.as_ref()),
        upstream: upstream::of_steps(&subpackage.steps),
        ..main.clone()
    }
}

fn own_commit(own: &Text, otherwise: &str) -> String {
    if own.is_empty() { otherwise.to_owned() } else { line(own) }
}

/// A text of one line: line breaks at its end are dropped. The compiler refuses others.
fn line(text: &Text) -> String {
    text.trim_end_matches(['\n', '\r']).to_owned()
}

fn lines(texts: &[Text]) -> Vec<String> {
    texts.iter().map(line).collect()
}

/// Names; those that are empty, as a variable may be, say nothing.
fn words(texts: &[Text]) -> Vec<String> {
    lines(texts).into_iter().filter(|word| !word.is_empty()).collect()
}

/// The CPE 2.3 of a package, as the formatted string of NISTIR 7695; `None` without a vendor or a product.
pub(super) fn cpe(package: &Package) -> Option<String> {
    let Cpe { part, vendor, product, edition, language, sw_edition, target_sw, target_hw, other } =
        &package.cpe;
    if vendor.is_empty() || product.is_empty() {
        return None;
    }
    let part = if part.is_empty() { "a" } else { part };
    let any = |text: &Text| if text.is_empty() { "*".to_owned() } else { text.to_string() };
    let [edition, language, sw_edition, target_sw, target_hw, other] =
        [edition, language, sw_edition, target_sw, target_hw, other].map(any);
    let version = &package.version;
    Some(format!(
        "cpe:2.3:{part}:{vendor}:{product}:{version}:*:{edition}:{language}:{sw_edition}:{target_sw}:{target_hw}:{other}"
    ))
}
