//! The effect of each key of a build file in kiln: a key without effect is noted, never ignored silently.
//!
//! Walkers look keys up here ([`super::walk::Fields`]); a test compares the table with the keys that the walkers know.

/// The effect of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// As in melange.
    Works,
    /// It describes the package for people and other programs; a build does not use it.
    Describes,
    /// It is read by another command than `build`.
    OtherCommand,
    /// The effect of the key above it.
    Within,
    /// No effect, and the reason.
    Nothing(&'static str),
}

use Effect::{Describes, Nothing, OtherCommand, Within, Works};

/// The effect of a key in a section, as [`super::walk::Fields::open`] names it.
pub(crate) fn of(section: &str, key: &str) -> Effect {
    let found = TABLE.iter().find(|(of, _)| *of == section);
    let found = found.and_then(|(_, keys)| keys.iter().find(|(known, _)| *known == key));
    found.map_or(Works, |(_, effect)| *effect)
}

const ON_A_BUILD: &str = "a build in melange ignores it as well";
const LOST: &str = "melange loses it when it replaces variables";

/// Sections, and their keys in the order in which the walkers take them.
const TABLE: &[(&str, &[(&str, Effect)])] = &[
    (
        "a build file",
        &[
            ("package", Works),
            ("environment", Works),
            ("capabilities", Works),
            ("pipeline", Works),
            ("subpackages", Works),
            ("data", Works),
            ("update", Describes),
            ("vars", Works),
            ("var-transforms", Works),
            ("options", Works),
            ("test", OtherCommand),
        ],
    ),
    (
        "package",
        &[
            ("name", Works),
            ("version", Works),
            ("epoch", Works),
            ("description", Works),
            ("annotations", Describes),
            ("url", Works),
            ("commit", Works),
            ("target-architecture", Works),
            ("copyright", Works),
            ("dependencies", Works),
            ("options", Works),
            ("scriptlets", Works),
            ("checks", Works),
            ("cpe", Works),
            ("setcap", Works),
            ("timeout", Works),
            ("resources", Works),
            ("test-resources", OtherCommand),
        ],
    ),
    (
        "package.copyright",
        &[
            ("paths", Within),
            ("attestation", Within),
            ("license", Within),
            ("license-path", Within),
            ("detection-override", Within),
        ],
    ),
    (
        "dependencies",
        &[
            ("runtime", Within),
            ("provides", Within),
            ("replaces", Within),
            ("provider-priority", Within),
            ("replaces-priority", Within),
        ],
    ),
    (
        "package options",
        &[
            ("no-provides", Within),
            ("no-depends", Within),
            ("no-commands", Within),
            ("no-versioned-shlib-deps", Within),
        ],
    ),
    (
        "scriptlets",
        &[
            ("trigger", Within),
            ("pre-install", Within),
            ("post-install", Within),
            ("pre-deinstall", Within),
            ("post-deinstall", Within),
            ("pre-upgrade", Within),
            ("post-upgrade", Within),
        ],
    ),
    ("scriptlets.trigger", &[("script", Within), ("paths", Within)]),
    ("checks", &[("disabled", Within)]),
    (
        "package.cpe",
        &[
            ("part", Within),
            ("vendor", Within),
            ("product", Within),
            ("edition", Within),
            ("language", Within),
            ("sw_edition", Within),
            ("target_sw", Within),
            ("target_hw", Within),
            ("other", Within),
        ],
    ),
    ("setcap", &[("path", Within), ("add", Within), ("reason", Within)]),
    ("resources", &[("cpu", Works), ("cpumodel", Works), ("memory", Works), ("disk", Works)]),
    (
        "environment",
        &[
            ("contents", Works),
            ("entrypoint", Nothing(ON_A_BUILD)),
            ("cmd", Nothing(ON_A_BUILD)),
            ("stop-signal", Nothing(ON_A_BUILD)),
            ("work-dir", Nothing(ON_A_BUILD)),
            ("accounts", Works),
            ("archs", Nothing("the architecture is --arch's")),
            ("environment", Works),
            ("paths", Works),
            ("vcs-url", Nothing(ON_A_BUILD)),
            ("annotations", Nothing(ON_A_BUILD)),
            ("include", Nothing(ON_A_BUILD)),
            ("volumes", Nothing(ON_A_BUILD)),
            ("layering", Nothing(LOST)),
            ("format", Nothing(LOST)),
            (
                "certificates",
                Nothing("melange loses it when it replaces variables; --host-certs brings certificates"),
            ),
        ],
    ),
    (
        "contents",
        &[
            ("build_repositories", Works),
            ("repositories", Works),
            ("keyring", Works),
            ("packages", Works),
            ("baseimage", Nothing("--image names the source of the root")),
            ("runtime_repositories", Nothing(LOST)),
            ("runtime_keyring", Nothing(LOST)),
        ],
    ),
    ("baseimage", &[("image", Within), ("apkindex", Within)]),
    (
        "entrypoint",
        &[("type", Within), ("command", Within), ("shell-fragment", Within), ("services", Within)],
    ),
    ("accounts", &[("run-as", Works), ("users", Works), ("groups", Works)]),
    ("a user", &[("username", Works), ("uid", Works), ("gid", Works), ("shell", Works), ("homedir", Works)]),
    ("a group", &[("groupname", Works), ("gid", Works), ("members", Works)]),
    (
        "paths",
        &[
            ("path", Works),
            ("type", Works),
            ("uid", Works),
            ("gid", Works),
            ("permissions", Works),
            ("source", Works),
            ("recursive", Works),
        ],
    ),
    ("layering", &[("strategy", Within), ("budget", Within)]),
    ("certificates", &[("additional", Within), ("providers", Within)]),
    ("a named file", &[("name", Within), ("content", Within)]),
    (
        "a step",
        &[
            ("name", Works),
            ("if", Works),
            ("uses", Works),
            ("with", Works),
            ("runs", Works),
            ("pipeline", Works),
            ("inputs", Works),
            ("needs", Works),
            ("label", Describes),
            ("assertions", Works),
            ("working-directory", Works),
            ("environment", Works),
        ],
    ),
    ("an input", &[("description", Works), ("default", Works), ("required", Works)]),
    ("needs", &[("packages", Works)]),
    ("assertions", &[("required-steps", Works)]),
    (
        "a subpackage",
        &[
            ("if", Works),
            ("range", Works),
            ("name", Works),
            ("pipeline", Works),
            ("dependencies", Works),
            ("options", Works),
            ("scriptlets", Works),
            ("description", Works),
            ("annotations", Describes),
            ("url", Works),
            ("commit", Works),
            ("checks", Works),
            ("test", OtherCommand),
            ("setcap", Nothing("melange loses it; only `package` has capabilities of files")),
        ],
    ),
    ("test", &[("environment", Within), ("pipeline", Within)]),
    ("data", &[("name", Works), ("items", Works)]),
    ("var-transforms", &[("from", Works), ("match", Works), ("replace", Works), ("to", Works)]),
    ("a build option", &[("vars", Works), ("environment", Works)]),
    ("the environment of a build option", &[("contents", Works)]),
    ("the contents of a build option", &[("packages", Works)]),
    ("the packages of a build option", &[("add", Works), ("remove", Works)]),
    ("capabilities", &[("add", Works), ("drop", Works)]),
    (
        "update",
        &[
            ("enabled", Within),
            ("manual", Within),
            ("require-sequential", Within),
            ("shared", Within),
            ("version-separator", Within),
            ("ignore-regex-patterns", Within),
            ("release-monitor", Within),
            ("github", Within),
            ("git", Within),
            ("oci", Within),
            ("version_data", Within),
            ("version-transform", Within),
            ("exclude-reason", Within),
            ("schedule", Within),
            ("enable-prerelease-tags", Within),
        ],
    ),
    (
        "update.release-monitor",
        &[
            ("identifier", Within),
            ("strip-prefix", Within),
            ("strip-suffix", Within),
            ("version-filter-contains", Within),
            ("version-filter-prefix", Within),
        ],
    ),
    ("update.github", &[("identifier", Within), ("tag-filter", Within), ("use-tag", Within)]),
    (
        "update.oci",
        &[
            ("identifier", Within),
            ("strip-prefix", Within),
            ("strip-suffix", Within),
            ("tag-filter-prefix", Within),
            ("tag-filter-contains", Within),
        ],
    ),
    ("update.version_data", &[("version_format", Within), ("sources", Within)]),
    (
        "update.version_data.sources",
        &[
            ("name", Within),
            ("stream", Within),
            ("ignore", Within),
            ("commit_source", Within),
            ("use_release", Within),
        ],
    ),
    ("update.version-transform", &[("match", Within), ("replace", Within)]),
    ("update.schedule", &[("reason", Within), ("period", Within)]),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::manifest::parse;

    /// The files of the walkers.
    const WALKERS: [&str; 7] = [
        include_str!("mod.rs"),
        include_str!("package.rs"),
        include_str!("scriptlets.rs"),
        include_str!("environment.rs"),
        include_str!("step.rs"),
        include_str!("subpackage.rs"),
        include_str!("update.rs"),
    ];

    /// Section and key of all that walkers take, from their source.
    fn taken() -> BTreeSet<(String, String)> {
        let mut taken = BTreeSet::new();
        for text in WALKERS {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for section in code.split("Fields::open(").skip(1) {
                let name = section.split('"').nth(1).expect("the section has a name");
                for take in section.split("fields").skip(1).map(str::trim_start) {
                    let call = [".take", ".find"].iter().find_map(|call| take.strip_prefix(call));
                    let Some((_, argument)) = call.and_then(|call| call.split_once('(')) else { continue };
                    let key = argument.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                    taken.insert((name.to_owned(), key.expect("a key is written out").to_owned()));
                }
            }
        }
        taken
    }

    #[test]
    fn every_key_of_the_schema_has_an_effect() {
        let listed: Vec<(String, String)> = TABLE
            .iter()
            .flat_map(|(section, keys)| {
                keys.iter().map(|(key, _)| ((*section).to_owned(), (*key).to_owned()))
            })
            .collect();
        let (taken, unique) = (taken(), listed.iter().cloned().collect::<BTreeSet<_>>());
        assert_eq!(unique.len(), listed.len(), "a key is listed twice");
        assert!(taken.len() > 150, "{taken:?}");
        assert_eq!(unique, taken);
    }

    #[test]
    fn a_key_without_effect_is_noted_once_with_its_place() {
        let text = "package:
  name: p
  version: '1'
  epoch: 0
  dependencies: {runtime: [a]}
  setcap: [{path: x, add: {cap_net_raw: +ep}, reason: r}]
  description: d
environment:
  cmd: x
  accounts: {users: []}
  contents: {keyring: [k], packages: []}
  work-dir:
subpackages:
- name: s
  dependencies: {runtime: [a]}
  scriptlets: {post-install: x}
  setcap: [{path: x, add: {cap_net_raw: +ep}, reason: r}]
test: {pipeline: []}
";
        let notes = parse(text, Path::new("a.yaml")).expect("it is valid").notes;
        let said: Vec<String> = notes.iter().map(|note| format!("{}: {}", note.line, note.message)).collect();
        assert_eq!(
            said,
            [
                "9: `cmd` has no effect: a build in melange ignores it as well".to_owned(),
                "17: `setcap` has no effect: melange loses it; only `package` has capabilities of files"
                    .into(),
            ]
        );
    }
}
