//! The licences of a package as SPDX has them: expressions as they are, other names as `LicenseRef-…` with a text.

use std::{collections::BTreeMap, fmt::Write as _};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use spdx::{Expression, ParseMode};

use super::spdx::Extracted;
use crate::plan::License;

/// The beginning of a name that is not SPDX's.
const REFERENCE: &str = "LicenseRef-";
/// What is an expression: also with the names that SPDX has replaced since.
const MODE: ParseMode = ParseMode {
    allow_slash_as_or_operator: false,
    allow_imprecise_license_names: false,
    allow_postfix_plus_on_gpl: true,
    allow_deprecated: true,
    allow_unknown: false,
};

/// The texts of licences, by their `license-path`.
pub type LicenseTexts = BTreeMap<String, String>;

/// The licences of a package.
pub(super) struct Licenses {
    names: Vec<String>,
    extracted: Vec<Extracted>,
}

impl Licenses {
    pub(super) fn of(licenses: &[License], texts: &LicenseTexts) -> Self {
        let mut names = Vec::new();
        let mut extracted: Vec<Extracted> = Vec::new();
        for License { name, path, .. } in licenses.iter().filter(|license| !license.name.is_empty()) {
            let id = normal(name);
            let text = match path {
                Some(path) => texts.get(path).cloned(),
                None => id.starts_with(REFERENCE).then(|| format!("Non-SPDX License: {name}")),
            };
            if let Some(text) = text {
                match extracted.iter_mut().find(|known| known.id == id) {
                    Some(known) => known.text = text,
                    None => extracted.push(Extracted { id: id.clone(), text }),
                }
            }
            names.push(id);
        }
        Self { names, extracted }
    }

    /// All of them; `None` without one.
    pub(super) fn expression(&self) -> Option<String> {
        (!self.names.is_empty()).then(|| self.names.join(" AND "))
    }

    pub(super) fn extracted(self) -> Vec<Extracted> {
        self.extracted
    }
}

/// The licence, if it is an expression of SPDX; else a reference.
fn normal(name: &str) -> String {
    if Expression::parse_mode(name, MODE).is_ok() {
        return name.to_owned();
    }
    let mut kept = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => kept.push(c),
            ' ' | '_' => kept.push('-'),
            _ => {}
        }
    }
    if kept.is_empty() {
        let digest = Sha256::digest(name);
        let first = digest.get(..8).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = write!(kept, "{}", HEXLOWER.encode(first));
    }
    format!("{REFERENCE}{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_of_spdx_becomes_a_reference() {
        for (name, wanted) in [
            ("MIT", "MIT"),
            ("GPL-2.0-only OR BSD-3-Clause", "GPL-2.0-only OR BSD-3-Clause"),
            (
                "GPL-2.0-or-later WITH Classpath-exception-2.0",
                "GPL-2.0-or-later WITH Classpath-exception-2.0",
            ),
            ("GPL-2.0", "GPL-2.0"),
            ("GPL-2.0+", "GPL-2.0+"),
            ("LicenseRef-x", "LicenseRef-x"),
            ("My Own Licence_1", "LicenseRef-My-Own-Licence-1"),
            ("Weird&&&", "LicenseRef-Weird"),
            ("&", "LicenseRef-951dcee3a7a4f3aa"),
        ] {
            assert_eq!(normal(name), wanted);
        }
    }

    #[test]
    fn the_last_text_of_a_licence_counts_and_its_first_place() {
        let license = |name: &str, path: Option<&str>| License {
            name: name.into(),
            attestation: String::new(),
            path: path.map(Into::into),
            detection_override: None,
        };
        let texts = LicenseTexts::from([("COPYING".into(), "text".into())]);
        let all = [license("Own", None), license("MIT", Some("COPYING")), license("Own", Some("COPYING"))];
        let licenses = Licenses::of(&all, &texts);
        assert_eq!(licenses.expression().as_deref(), Some("LicenseRef-Own AND MIT AND LicenseRef-Own"));
        let extracted: Vec<(String, String)> =
            licenses.extracted().into_iter().map(|one| (one.id, one.text)).collect();
        let text = |id: &str| (id.to_owned(), "text".to_owned());
        assert_eq!(extracted, [text("LicenseRef-Own"), text("MIT")]);
        assert_eq!(Licenses::of(&[], &texts).expression(), None);
    }
}
