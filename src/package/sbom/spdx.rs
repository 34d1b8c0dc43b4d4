//! The document as JSON: the fields of SPDX 2.3 that melange writes, in its order.

use serde::Serialize;

use super::purl::Purl;

/// Nothing is known.
pub(super) const NO_ASSERTION: &str = "NOASSERTION";

/// The document. Fields that SPDX requires are always written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    #[serde(rename = "SPDXID")]
    pub(super) id: &'static str,
    pub(super) name: String,
    pub(super) spdx_version: &'static str,
    pub(super) creation_info: Creation,
    pub(super) data_license: &'static str,
    #[serde(rename = "documentNamespace")]
    pub(super) namespace: String,
    #[serde(rename = "documentDescribes")]
    pub(super) describes: Vec<String>,
    pub(super) packages: Vec<Package>,
    pub(super) relationships: Vec<Relationship>,
    #[serde(rename = "hasExtractedLicensingInfos", skip_serializing_if = "Vec::is_empty")]
    pub(super) extracted: Vec<Extracted>,
}

/// When and by what the document was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Creation {
    created: String,
    creators: [String; 1],
    license_list_version: &'static str,
}

impl Creation {
    /// At a time, in seconds since 1970.
    pub(super) fn at(seconds: i64) -> Self {
        Self {
            created: crate::package::date::rfc3339(seconds),
            creators: [format!("Tool: kiln-{}", env!("CARGO_PKG_VERSION"))],
            license_list_version: "3.22",
        }
    }
}

/// A package, source or file.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Package {
    #[serde(rename = "SPDXID")]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "versionInfo", skip_serializing_if = "String::is_empty")]
    pub(super) version: String,
    pub(super) files_analyzed: bool,
    pub(super) license_concluded: &'static str,
    pub(super) license_declared: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(rename = "downloadLocation")]
    pub(super) location: String,
    pub(super) originator: String,
    pub(super) supplier: String,
    #[serde(rename = "copyrightText", skip_serializing_if = "Option::is_none")]
    pub(super) copyright: Option<String>,
    #[serde(rename = "primaryPackagePurpose")]
    pub(super) purpose: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) external_refs: Vec<ExternalRef>,
}

impl Package {
    /// A package of which only the organization is known.
    pub(super) fn of_organization(organization: String) -> Self {
        Self {
            license_concluded: NO_ASSERTION,
            license_declared: NO_ASSERTION.into(),
            location: NO_ASSERTION.into(),
            originator: organization.clone(),
            supplier: organization,
            ..Self::default()
        }
    }
}

/// A digest of a source.
#[derive(Debug, Serialize)]
pub(super) struct Checksum {
    pub(super) algorithm: &'static str,
    #[serde(rename = "checksumValue")]
    pub(super) value: String,
}

/// A name of a package in another catalogue.
#[derive(Debug, Serialize)]
pub(super) struct ExternalRef {
    #[serde(rename = "referenceCategory")]
    category: &'static str,
    #[serde(rename = "referenceLocator")]
    pub(super) locator: String,
    #[serde(rename = "referenceType")]
    kind: &'static str,
}

impl ExternalRef {
    pub(super) fn purl(purl: &Purl) -> Self {
        Self { category: "PACKAGE-MANAGER", locator: purl.to_string(), kind: "purl" }
    }

    pub(super) fn cpe(cpe: &str) -> Self {
        Self { category: "SECURITY", locator: cpe.to_owned(), kind: "cpe23Type" }
    }
}

/// How two packages belong together.
#[derive(Debug, Serialize)]
pub(super) struct Relationship {
    #[serde(rename = "spdxElementId")]
    element: String,
    #[serde(rename = "relationshipType")]
    kind: &'static str,
    #[serde(rename = "relatedSpdxElement")]
    related: String,
}

impl Relationship {
    pub(super) const DESCRIBED_BY: &str = "DESCRIBED_BY";
    pub(super) const GENERATED_FROM: &str = "GENERATED_FROM";

    pub(super) fn new(element: &str, kind: &'static str, related: &str) -> Self {
        Self { element: element.to_owned(), kind, related: related.to_owned() }
    }
}

/// The text of a licence.
#[derive(Debug, Serialize)]
pub(super) struct Extracted {
    #[serde(rename = "licenseId")]
    pub(super) id: String,
    #[serde(rename = "extractedText")]
    pub(super) text: String,
}

/// The text of the document: indented by two blanks, and with the escapes of Go's encoder, which are for HTML.
pub(super) fn text(document: &Document) -> String {
    let text = serde_json::to_string_pretty(document);
    let text = text.expect("strings, lists and structs with text keys are all JSON");
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            // They stand in strings only.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}
