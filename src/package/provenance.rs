//! The provenance of a package: an in-toto statement with a SLSA v1 predicate, beside the package. Pure.
//!
//! The names of its fields are those of in-toto (`_type`, `predicateType`), by which verifiers know it.

use serde_json::{Value, json};

use super::date::rfc3339;
use crate::plan::PackageMetadata;

/// The type of a statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The type of its predicate.
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// How packages are built of a configuration.
const BUILD_TYPE: &str = "https://kiln.build/buildtypes/melange/v1";
/// Who builds them.
const BUILDER: &str = "https://kiln.build/builders/kiln/v1";

/// What a package's provenance is made of.
#[derive(Debug, Clone, Copy)]
pub struct Provenance<'a> {
    /// The package.
    pub package: &'a PackageMetadata,
    /// The compiled configuration, as JSON; without secrets.
    pub configuration: &'a Value,
    /// The SHA-256 of the package's compressed data member, in hexadecimal digits.
    pub data_hash: &'a str,
    /// When the build began, in seconds since 1970.
    pub started: i64,
    /// When it ended, in seconds since 1970.
    pub finished: i64,
}

impl Provenance<'_> {
    /// The name of the file beside the package.
    pub fn file(package: &PackageMetadata) -> String {
        format!("{}.attest.tar.gz", package.file_stem())
    }

    /// The name of the entry in that file.
    pub fn entry(package: &PackageMetadata) -> String {
        format!("{}.attestation", package.file_stem())
    }

    /// The statement as JSON, without a line break at its end.
    pub fn text(&self) -> String {
        let Self { package, configuration, data_hash, started, finished } = self;
        let statement = json!({
            "_type": STATEMENT,
            "subject": [{
                "name": format!("{}.apk", package.file_stem()),
                "digest": { "sha256": data_hash },
            }],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": { "package-configuration": configuration },
                },
                "runDetails": {
                    "builder": { "id": BUILDER, "version": { "kiln": env!("CARGO_PKG_VERSION") } },
                    "metadata": { "startedOn": rfc3339(*started), "finishedOn": rfc3339(*finished) },
                },
            },
        });
        format!("{statement:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile, manifest, pipelines::Library, plan::BuildMetadata};

    #[test]
    fn a_statement_names_the_package_its_digest_and_its_configuration() {
        let text = "package: {name: p, version: '1', epoch: 0}\npipeline: [{runs: 'true'}]\n";
        let manifest = manifest::parse(text, std::path::Path::new("p.yaml")).expect("it is valid");
        let options = compile::Options::new(compile::Arch::X86_64);
        let recipe = compile::compile(&manifest, &options, &Library::new([])).expect("it compiles");
        let build = BuildMetadata::of(&recipe, "p.yaml", 0, &crate::plan::PackagingOptions::default());
        let [package] = build.packages.as_slice() else { panic!("it has one package") };
        let configuration = &build.configuration;
        let provenance = Provenance { package, configuration, data_hash: "00ff", started: 0, finished: 61 };
        let statement: Value = serde_json::from_str(&provenance.text()).expect("it is JSON");
        assert_eq!(statement["_type"], STATEMENT);
        assert_eq!(statement["predicateType"], PREDICATE);
        assert_eq!(statement["subject"], json!([{"name": "p-1-r0.apk", "digest": {"sha256": "00ff"}}]));
        let definition = &statement["predicate"]["buildDefinition"];
        assert_eq!(definition["externalParameters"]["package-configuration"]["package"]["name"], "p");
        let metadata = &statement["predicate"]["runDetails"]["metadata"];
        assert_eq!(
            metadata,
            &json!({"startedOn": "1970-01-01T00:00:00Z", "finishedOn": "1970-01-01T00:01:01Z"})
        );
        assert_eq!(Provenance::file(package), "p-1-r0.attest.tar.gz");
        assert_eq!(Provenance::entry(package), "p-1-r0.attestation");
    }
}
