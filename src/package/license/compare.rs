//! The differences between the licences that a build file declares and those that a file has.

use std::fmt;

use super::{
    detect::Detected,
    names::{family, names},
};
use crate::plan::License;

/// The LGPL 3.0 is the GPL 3.0 with additional permissions, so that its projects have both texts.
const WITH: (&str, &str) = ("LGPL-3.0", "GPL-3.0");

/// A licence that a file has and the build file does not declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file, relative to the sources.
    pub file: String,
    /// SPDX's name of the licence.
    pub found: String,
    /// What the build file declares.
    pub declared: Vec<String>,
    /// Whether a `license-path` names the file.
    pub is_named: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, found, declared, is_named } = self;
        let declared = declared.join(", ");
        match (is_named, declared.is_empty()) {
            (true, _) => {
                write!(f, "{file} has the text of {found}, but copyright declares {declared} for it")
            }
            (false, true) => write!(f, "{file} has the text of {found}, but copyright declares no licence"),
            (false, false) => {
                write!(f, "{file} has the text of {found}, but copyright only declares {declared}")
            }
        }
    }
}

/// The licences of a file that are not declared. A `detection-override` names one that is expected.
pub fn differences(licenses: &[License], file: &str, detected: &[Detected]) -> Vec<Difference> {
    let is_named = licenses.iter().any(|license| license.path.as_deref() == Some(file));
    let counts = |license: &&License| match (is_named, license.path.as_deref()) {
        (true, Some(path)) => path == file,
        (true, None) | (false, _) => true,
    };
    let counting: Vec<&License> = licenses.iter().filter(counts).collect();
    let known: Vec<String> = counting
        .iter()
        .flat_map(|license| names(&license.name).into_iter().chain(license.detection_override.clone()))
        .map(|name| family(&name).to_ascii_lowercase())
        .collect();
    let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
    let is_declared = |name: &str| is_known(name) || (name == WITH.1 && is_known(WITH.0));
    let declared: Vec<String> =
        counting.iter().map(|license| license.name.clone()).filter(|name| !name.is_empty()).collect();
    let found = detected.iter().filter(|one| !is_declared(&one.name));
    found
        .map(|one| Difference {
            file: file.to_owned(),
            found: one.name.clone(),
            declared: declared.clone(),
            is_named,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn license(name: &str, path: Option<&str>, detection_override: Option<&str>) -> License {
        License {
            name: name.into(),
            attestation: String::new(),
            path: path.map(Into::into),
            detection_override: detection_override.map(Into::into),
        }
    }

    fn texts(licenses: &[License], file: &str, found: &[&str]) -> Vec<String> {
        let detected: Vec<Detected> =
            found.iter().map(|name| Detected { name: (*name).into(), percent: 100 }).collect();
        differences(licenses, file, &detected).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_of_the_same_text_agree() {
        for (declared, found) in [
            ("MIT", "MIT"),
            ("mit", "MIT"),
            ("GPL-2.0-only", "GPL-2.0"),
            ("GPL-2.0-or-later", "GPL-2.0"),
            ("GPL-2.0+", "GPL-2.0"),
            ("GPL-2.0", "GPL-2.0"),
            ("GPL-2.0-or-later WITH Classpath-exception-2.0", "GPL-2.0"),
            ("GPL-2.0-with-classpath-exception", "GPL-2.0"),
            ("GFDL-1.3-invariants-or-later", "GFDL-1.3"),
            ("Apache-2.0 WITH LLVM-exception", "Apache-2.0"),
            ("MIT OR Apache-2.0", "Apache-2.0"),
            ("MIT/Apache-2.0", "Apache-2.0"),
            ("(MIT OR Apache-2.0) AND BSD-3-Clause", "BSD-3-Clause"),
            ("MIT AND Own-Licence", "MIT"),
            ("MIT and BSD-3-Clause", "BSD-3-Clause"),
            ("BSD-2-Clause-FreeBSD", "BSD-2-Clause"),
            ("LGPL-3.0-or-later", "GPL-3.0"),
            ("LGPL-3.0-or-later", "LGPL-3.0"),
            ("Apache 2.0", "Apache-2.0"),
        ] {
            assert!(texts(&[license(declared, None, None)], "LICENSE", &[found]).is_empty(), "{declared}");
        }
    }

    #[test]
    fn other_licences_differ() {
        for (declared, found) in [
            ("MIT", "Apache-2.0"),
            ("GPL-2.0-only", "GPL-3.0"),
            ("GPL-3.0-only", "LGPL-3.0"),
            ("LGPL-2.1-only", "GPL-2.0"),
            ("BSD-3-Clause", "BSD-2-Clause"),
            ("PROPRIETARY", "MIT"),
        ] {
            let wanted = format!("LICENSE has the text of {found}, but copyright only declares {declared}");
            assert_eq!(texts(&[license(declared, None, None)], "LICENSE", &[found]), [wanted]);
        }
        let none = ["LICENSE has the text of MIT, but copyright declares no licence"];
        assert_eq!(texts(&[], "LICENSE", &["MIT"]), none);
    }

    #[test]
    fn a_named_file_has_what_is_declared_for_it() {
        let both = [license("MIT", Some("LICENSE-MIT"), None), license("Apache-2.0", Some("LICENSE"), None)];
        assert!(texts(&both, "LICENSE-MIT", &["MIT"]).is_empty());
        assert!(texts(&both, "COPYING", &["MIT", "Apache-2.0"]).is_empty());
        assert_eq!(
            texts(&both, "LICENSE-MIT", &["Apache-2.0"]),
            ["LICENSE-MIT has the text of Apache-2.0, but copyright declares MIT for it"]
        );
        let expected = [license("MIT", Some("LICENSE"), Some("BSD-3-Clause"))];
        assert!(texts(&expected, "LICENSE", &["BSD-3-Clause"]).is_empty());
        assert_eq!(texts(&expected, "LICENSE", &["GPL-2.0"]).len(), 1);
    }
}
