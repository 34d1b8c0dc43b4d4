//! All that the packages of a build say of themselves besides their files: a pure function of the recipe and the options.
//!
//! `package` makes `.PKGINFO`, `.melange.yaml`, SBOM and provenance of it. It holds no key: only the path of one.

mod file_capability;
mod package;
mod scriptlet;
mod upstream;

use serde::Serialize;
use serde_json::Value;

use super::{PackageFormat, PackagingOptions};
use crate::{compile::Recipe, login};

pub use file_capability::FileCapability;
pub use package::{Declared, License, PackageMetadata, TestUses};
pub use scriptlet::{Scriptlet, Scriptlets};
pub use upstream::Upstream;

/// The commit of a build file that lies in no repository.
const UNKNOWN_COMMIT: &str = "unknown";

/// The lists of addresses in an environment.
const ADDRESSES: [&str; 3] = ["repositories", "build_repositories", "keyring"];

/// The metadata of all packages of a build.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct BuildMetadata {
    /// The packages: the main one first, then the subpackages in their order. Those of [`super::Plan::artifacts`].
    pub packages: Vec<PackageMetadata>,
    /// The modification time of everything, in seconds since 1970.
    pub build_date: i64,
    /// The compiled configuration, for `.melange.yaml`; its packages are those that were asked for. Values of masked variables
    /// are not in it.
    #[serde(skip)]
    pub configuration: Value,
    /// The build file, as the command line names it.
    pub build_file: String,
    /// The commit of the build file; `unknown` where there is none.
    pub commit: String,
    /// The CPE of the main package, as SPDX writes it; `None` where the build file has none.
    pub cpe: Option<String>,
    /// The sources of the top-level steps of the main package.
    pub upstream: Vec<Upstream>,
    /// The options.
    #[serde(skip)]
    pub options: PackagingOptions,
}

impl BuildMetadata {
    /// The metadata of a recipe's packages. `build_date` is in seconds since 1970.
    pub fn of(recipe: &Recipe, build_file: &str, build_date: i64, options: &PackagingOptions) -> Self {
        let commit = options.git_commit.clone().unwrap_or_else(|| UNKNOWN_COMMIT.into());
        Self {
            packages: package::all(recipe, &commit, options),
            build_date,
            configuration: configuration(recipe),
            build_file: build_file.to_owned(),
            commit,
            cpe: package::cpe(&recipe.package),
            upstream: upstream::of_steps(&recipe.steps),
            options: options.clone(),
        }
    }

    /// The metadata of a package by its name.
    pub fn package(&self, name: &str) -> Option<&PackageMetadata> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The form of the packages.
    pub fn format(&self) -> PackageFormat {
        self.options.format
    }
}

/// The compiled configuration of the packages that are made, with the architecture of the guest as container images spell it.
fn configuration(recipe: &Recipe) -> Value {
    let mut recipe = recipe.clone();
    recipe.subpackages.retain(|subpackage| subpackage.condition.holds());
    recipe.environment.archs = vec![recipe.arch.go().into()];
    let value = serde_json::to_value(recipe);
    let mut value = value.expect("strings, numbers, lists and maps with text keys are all JSON");
    without_logins(&mut value);
    value
}

/// Takes names and passwords off the addresses of repositories and keys: a package is read by others.
fn without_logins(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(without_logins),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::Array(lines) if ADDRESSES.contains(&key.as_str()) => {
                        for line in lines {
                            if let Value::String(line) = line {
                                *line = login::hide(line, "");
                            }
                        }
                    }
                    value => without_logins(value),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn packages_carry_no_login() {
        let contents = |login: &str| {
            json!({"contents": {
                "repositories": [format!("@t https://{login}h.example.org/os"), "./packages"],
                "build_repositories": [format!("http://{login}h.example.org:1/os")],
                "keyring": [format!("https://{login}h.example.org/k.rsa.pub")],
                "packages": ["busybox@t"],
            }})
        };
        let whole =
            |login: &str| json!({"environment": contents(login), "test": {"environment": contents(login)}});
        let mut value = whole("me:secret@");
        without_logins(&mut value);
        assert_eq!(value, whole(""));
    }
}
