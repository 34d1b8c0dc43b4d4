//! Scripts that run where a package is installed, as entries of its control archive.

use serde::Serialize;

use crate::manifest;

/// A script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scriptlet {
    /// Its name in the control archive, such as `.post-install`.
    pub file: &'static str,
    /// The script, as written.
    pub text: String,
}

/// The scripts of a package.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Scriptlets {
    /// Those that are given, sorted by file.
    pub scripts: Vec<Scriptlet>,
    /// The paths whose changes run `.trigger`, as written.
    pub trigger_paths: Vec<String>,
}

impl Scriptlets {
    pub(super) fn of(declared: Option<&manifest::Scriptlets>) -> Self {
        let Some(declared) = declared else { return Self::default() };
        let manifest::Scriptlets {
            trigger,
            pre_install,
            post_install,
            pre_deinstall,
            post_deinstall,
            pre_upgrade,
            post_upgrade,
        } = declared;
        let sorted = [
            (".post-deinstall", post_deinstall),
            (".post-install", post_install),
            (".post-upgrade", post_upgrade),
            (".pre-deinstall", pre_deinstall),
            (".pre-install", pre_install),
            (".pre-upgrade", pre_upgrade),
            (".trigger", &trigger.script),
        ];
        let given = sorted.into_iter().filter(|(_, text)| !text.is_empty());
        Self {
            scripts: given.map(|(file, text)| Scriptlet { file, text: text.to_string() }).collect(),
            trigger_paths: trigger.paths.iter().map(ToString::to_string).collect(),
        }
    }
}
