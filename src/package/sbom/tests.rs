use super::*;
use crate::{compile, manifest, pipelines::Library, plan::PackagingOptions};

/// A build of a text, from a repository.
fn build(text: &str) -> BuildMetadata {
    let manifest = manifest::parse(text, std::path::Path::new("cases/p.yaml")).expect("it is valid");
    let recipe =
        compile::compile(&manifest, &compile::Options::new(compile::Arch::X86_64), &Library::new([]));
    let options = PackagingOptions {
        namespace: "testix".into(),
        git_commit: Some("0123".into()),
        git_repo_url: Some("https://github.com/Example/os".into()),
        ..PackagingOptions::default()
    };
    BuildMetadata::of(&recipe.expect("it compiles"), "cases/p.yaml", 1_709_210_096, &options)
}

fn parsed(build: &BuildMetadata, package: usize, texts: &LicenseTexts) -> serde_json::Value {
    let text = document(build, &build.packages[package], texts);
    assert!(text.ends_with("}\n"), "{text}");
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn a_document_has_the_system_the_package_its_build_file_and_its_sources() {
    let build = build(
        "package: {name: p, version: '1.0', epoch: 2, cpe: {vendor: v, product: q}, copyright: [{license: MIT}]}
pipeline:
- {uses: git-checkout, with: {repository: 'https://github.com/Own/p.git', tag: v1, expected-commit: 0123456789abcdef0123456789abcdef01234567}}
- {runs: 'true'}
subpackages:
- {name: p-sub, pipeline: [{uses: fetch, with: {uri: 'https://example.org/a.tar.gz', expected-sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}}]}
",
    );
    let main = parsed(&build, 0, &LicenseTexts::new());
    assert_eq!(main["creationInfo"]["created"], "2024-02-29T12:34:56Z");
    let ids = |document: &serde_json::Value| -> Vec<String> {
        let packages = document["packages"].as_array().expect("it has packages");
        packages.iter().map(|package| package["SPDXID"].as_str().expect("it has an id").to_owned()).collect()
    };
    let checkout =
        "SPDXRef-Package-Source-github.com-Own-p.git-v1-0123456789abcdef0123456789abcdef01234567-0";
    let file = "SPDXRef-Package-Melange-cases-p.yaml-0123";
    assert_eq!(ids(&main), ["SPDXRef-OperatingSystem", "SPDXRef-Package-apk-p-1.0-r2", file, checkout]);
    let source = &main["packages"][3];
    assert_eq!(
        source["downloadLocation"],
        "https://github.com/Own/p/archive/0123456789abcdef0123456789abcdef01234567.tar.gz"
    );
    assert_eq!(source["externalRefs"][0]["referenceLocator"], "pkg:github/own/p@v1");
    assert_eq!(source["licenseDeclared"], "MIT");
    assert_eq!(main["packages"][1]["externalRefs"][1]["referenceLocator"], "cpe:2.3:a:v:q:1.0:*:*:*:*:*:*:*");
    let sub = parsed(&build, 1, &LicenseTexts::new());
    let fetch = "SPDXRef-Package-Source-p-1.0-0";
    assert_eq!(
        ids(&sub),
        ["SPDXRef-OperatingSystem", "SPDXRef-Package-apk-p-sub-1.0-r2", fetch, file, checkout]
    );
    let relations: Vec<(&str, &str)> = sub["relationships"]
        .as_array()
        .expect("it has relationships")
        .iter()
        .map(|one| {
            (one["relationshipType"].as_str().unwrap_or(""), one["relatedSpdxElement"].as_str().unwrap_or(""))
        })
        .collect();
    assert_eq!(relations, [("GENERATED_FROM", fetch), ("DESCRIBED_BY", file), ("GENERATED_FROM", checkout)]);
    assert_eq!(sub["packages"][2]["checksums"][0]["algorithm"], "SHA256");
    assert_eq!(path(&build.packages[1]), "var/lib/db/sbom/p-sub-1.0-r2.spdx.json");
    assert_ne!(main["documentNamespace"], sub["documentNamespace"]);
}

#[test]
fn signs_of_html_are_escaped_and_a_licence_has_its_text() {
    let build = build(
        "package: {name: p, version: '1', epoch: 0, copyright: [{license: 'A&B', attestation: 'a <b>'}, {license: Own, license-path: COPYING}]}
pipeline: [{runs: 'true'}]
",
    );
    let texts = LicenseTexts::from([("COPYING".into(), "a\u{2028}b".into())]);
    let text = document(&build, &build.packages[0], &texts);
    for part in [
        r#""copyrightText": "a \u003cb\u003e\n","#,
        r#""extractedText": "Non-SPDX License: A\u0026B""#,
        r#""extractedText": "a\u2028b""#,
        r#""licenseDeclared": "LicenseRef-AB AND LicenseRef-Own","#,
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(license_paths(&build.packages[0]), ["COPYING"]);
}
