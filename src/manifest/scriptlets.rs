//! `scriptlets` of packages and subpackages: scripts that run where the package is installed.

use serde::Serialize;

use super::{
    text::Text,
    walk::{Fields, Read, Report},
    yaml::Node,
};

/// Scripts that run where the package is installed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scriptlets {
    /// When watched paths change.
    pub trigger: Trigger,
    /// Before it is installed.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pre_install: Text,
    /// After.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub post_install: Text,
    /// Before it is removed.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pre_deinstall: Text,
    /// After.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub post_deinstall: Text,
    /// Before it is upgraded.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pre_upgrade: Text,
    /// After.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub post_upgrade: Text,
}

impl Read for Scriptlets {
    const EXPECTED: &'static str = "a map (trigger, pre-install, post-install, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("scriptlets", node, report)?;
        let scriptlets = Self {
            trigger: fields.take("trigger"),
            pre_install: fields.take("pre-install"),
            post_install: fields.take("post-install"),
            pre_deinstall: fields.take("pre-deinstall"),
            post_deinstall: fields.take("post-deinstall"),
            pre_upgrade: fields.take("pre-upgrade"),
            post_upgrade: fields.take("post-upgrade"),
        };
        fields.close();
        Some(scriptlets)
    }
}

/// A script that runs when watched paths change.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Trigger {
    /// The script.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub script: Text,
    /// The paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Text>,
}

impl Read for Trigger {
    const EXPECTED: &'static str = "a map (script, paths)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("scriptlets.trigger", node, report)?;
        let trigger = Self { script: fields.take("script"), paths: fields.take("paths") };
        fields.close();
        Some(trigger)
    }
}
