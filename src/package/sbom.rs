//! The SBOM of a package: an SPDX 2.3 document, which the package itself contains. Pure.
//!
//! It depends only on the plan and on texts of licences, not on the files of the package: it can be written before they are known.

mod fnv;
mod identifier;
mod license;
mod purl;
mod source;
mod spdx;

pub use license::LicenseTexts;

use self::{
    identifier::{identifier, organization},
    license::Licenses,
    purl::Purl,
    spdx::{Creation, Document, ExternalRef, NO_ASSERTION, Package, Relationship},
};
use crate::plan::{BuildMetadata, License, PackageMetadata, UNKNOWN_NAMESPACE, Upstream};

/// The directory of SBOMs in a package.
pub const DIRECTORY: &str = "var/lib/db/sbom";
/// The owner and repository of a build file without `--git-repo-url`, as melange writes them into the package URL.
const UNKNOWN_REPOSITORY: (&str, &str) = ("https:", "/unknown/unknown/unknown");
/// What `--git-repo-url` begins with, for a repository with a package URL of its own type.
const GITHUB: &str = "https://github.com/";

/// The path of a package's SBOM in the package.
pub fn path(package: &PackageMetadata) -> String {
    format!("{DIRECTORY}/{}.spdx.json", package.file_stem())
}

/// The SBOM of a package, with a line break at its end. A licence whose text is not in `texts` has none in the document.
pub fn document(build: &BuildMetadata, package: &PackageMetadata, texts: &LicenseTexts) -> String {
    let licenses = Licenses::of(&package.licenses, texts);
    let apk = apk(build, package, &licenses);
    let file = build_file(build, &package.namespace);
    let declared = licenses.expression();
    let of = |sources: &[Upstream]| -> Vec<Package> {
        sources
            .iter()
            .filter_map(|source| source::package(source, declared.as_deref(), &package.namespace))
            .collect()
    };
    let (own, of_main) = (of(&package.upstream), of(&build.upstream));
    let id = apk.id.clone();
    let relation = |kind, package: &Package| Relationship::new(&id, kind, &package.id);
    let mut relationships: Vec<Relationship> =
        own.iter().map(|source| relation(Relationship::GENERATED_FROM, source)).collect();
    relationships.push(relation(Relationship::DESCRIBED_BY, &file));
    relationships.extend(of_main.iter().map(|source| relation(Relationship::GENERATED_FROM, source)));
    let mut packages = vec![operating_system(&package.namespace), apk];
    packages.extend(own);
    packages.push(file);
    packages.extend(of_main);
    spdx::text(&Document {
        id: "SPDXRef-DOCUMENT",
        name: format!("apk-{}", package.file_stem()),
        spdx_version: "SPDX-2.3",
        creation_info: Creation::at(build.build_date),
        data_license: "CC0-1.0",
        namespace: namespace(package),
        describes: vec![id],
        packages,
        relationships,
        extracted: licenses.extracted(),
    })
}

/// The identity of the document: one for each package of each namespace and version.
fn namespace(package: &PackageMetadata) -> String {
    let PackageMetadata { namespace, name, version, .. } = package;
    let digest = fnv::fnv1a_128(format!("apk-{namespace}-{name}-{version}").as_bytes());
    format!("https://spdx.org/spdxdocs/kiln/{digest:032x}")
}

fn operating_system(namespace: &str) -> Package {
    Package {
        id: "SPDXRef-OperatingSystem".into(),
        name: namespace.to_owned(),
        description: "Operating System".into(),
        purpose: "OPERATING-SYSTEM",
        ..Package::of_organization(organization(namespace))
    }
}

fn apk(build: &BuildMetadata, package: &PackageMetadata, licenses: &Licenses) -> Package {
    let PackageMetadata { name, version, arch, namespace, licenses: declared, .. } = package;
    let mut purl = Purl::new("apk", Some(namespace), name, version).with("arch", arch);
    if namespace != UNKNOWN_NAMESPACE {
        purl = purl.with("distro", namespace);
    }
    let cpe = build.cpe.as_ref().map(|cpe| ExternalRef::cpe(cpe));
    Package {
        id: identifier(&["apk", name, version]),
        name: name.clone(),
        version: version.clone(),
        license_declared: licenses.expression().unwrap_or_else(|| NO_ASSERTION.into()),
        copyright: Some(copyright(declared)),
        purpose: "APPLICATION",
        external_refs: std::iter::once(ExternalRef::purl(&purl)).chain(cpe).collect(),
        ..Package::of_organization(organization(namespace))
    }
}

fn copyright(licenses: &[License]) -> String {
    let given = licenses.iter().map(|license| &license.attestation).filter(|text| !text.is_empty());
    let text: String = given.map(|text| format!("{text}\n")).collect();
    if text.is_empty() { NO_ASSERTION.into() } else { text }
}

/// The build file.
fn build_file(build: &BuildMetadata, namespace: &str) -> Package {
    let BuildMetadata { build_file, commit, options, .. } = build;
    let url = options.git_repo_url.as_deref().map(|url| url.strip_prefix(GITHUB).unwrap_or(url));
    let (owner, repository) = url.and_then(|path| path.split_once('/')).unwrap_or(UNKNOWN_REPOSITORY);
    let purl = Purl::new("github", Some(&owner.to_lowercase()), &repository.to_lowercase(), commit)
        .below(build_file.trim_matches('/'));
    Package {
        id: identifier(&["Melange", build_file, commit]),
        name: build_file.clone(),
        version: commit.clone(),
        license_declared: match options.license.as_str() {
            "" => NO_ASSERTION.into(),
            license => license.to_owned(),
        },
        purpose: "INSTALL",
        external_refs: vec![ExternalRef::purl(&purl)],
        ..Package::of_organization(organization(namespace))
    }
}

/// The licences of an SBOM whose text a file of the workspace has, each once, in the order of the build file.
pub fn license_paths(package: &PackageMetadata) -> Vec<&str> {
    let mut paths: Vec<&str> = Vec::new();
    for path in package.licenses.iter().filter_map(|license| license.path.as_deref()) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

#[cfg(test)]
mod tests;
