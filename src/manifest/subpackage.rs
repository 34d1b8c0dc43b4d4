//! `subpackages`, `test`, `data`, `vars` and their transforms, `options`, `capabilities`: the small sections.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    environment::Environment,
    package::{Capability, Checks, Dependencies, PackageOptions},
    scriptlets::Scriptlets,
    step::Step,
    text::{Map, Position, Text},
    walk::{self, Fields, Read, Report},
    yaml::Node,
};

/// A further package of the same build, as written.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "as in `Package`")]
pub struct Subpackage {
    /// A condition.
    pub condition: Text,
    /// A table: one copy an item.
    pub range: Text,
    pub name: Text,
    /// Its steps.
    pub pipeline: Vec<Step>,
    pub dependencies: Dependencies,
    pub options: Option<PackageOptions>,
    pub scriptlets: Option<Scriptlets>,
    pub description: Text,
    pub annotations: Map,
    pub url: Text,
    pub commit: Text,
    pub checks: Checks,
    pub test: Option<Test>,
    /// Accepted, without effect, as in melange.
    pub setcap: Vec<Capability>,
    /// Its place.
    pub at: Position,
}

impl Read for Subpackage {
    const EXPECTED: &'static str = "a subpackage: a map (name, pipeline, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("a subpackage", node, report)?;
        let subpackage = Self {
            condition: fields.take("if"),
            range: fields.take("range"),
            name: fields.take("name"),
            pipeline: fields.take("pipeline"),
            dependencies: fields.take("dependencies"),
            options: fields.take("options"),
            scriptlets: fields.take("scriptlets"),
            description: fields.take("description"),
            annotations: fields.take("annotations"),
            url: fields.take("url"),
            commit: fields.take("commit"),
            checks: fields.take("checks"),
            test: fields.take("test"),
            setcap: fields.take("setcap"),
            at: node.at,
        };
        fields.close();
        Some(subpackage)
    }
}

/// The test of a package, as written, for `kiln test`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Test {
    /// The guest of the test.
    pub environment: Environment,
    /// Its steps.
    pub pipeline: Vec<Step>,
}

impl Read for Test {
    const EXPECTED: &'static str = "a map (environment, pipeline)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("test", node, report)?;
        let test = Self { environment: fields.take("environment"), pipeline: fields.take("pipeline") };
        fields.close();
        Some(test)
    }
}

/// A table for `range`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Its name for `range`.
    pub name: Text,
    /// Key and value of each item.
    pub items: Map,
}

impl Read for Table {
    const EXPECTED: &'static str = "a table: a map (name, items)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("data", node, report)?;
        let table = Self { name: fields.take("name"), items: fields.take("items") };
        fields.close();
        Some(table)
    }
}

/// A variable made from others by a regular expression.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VarTransform {
    /// The text to start from, with variables.
    pub from: Text,
    /// Go's RE2.
    #[serde(rename = "match")]
    pub pattern: Text,
    /// The replacement of each match, with `$1`.
    pub replace: Text,
    /// The new variable: `vars.<to>`.
    pub to: Text,
}

impl Read for VarTransform {
    const EXPECTED: &'static str = "a map (from, match, replace, to)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("var-transforms", node, report)?;
        let transform = Self {
            from: fields.take("from"),
            pattern: fields.take("match"),
            replace: fields.take("replace"),
            to: fields.take("to"),
        };
        fields.close();
        Some(transform)
    }
}

/// A build option (`--build-option`); in JSON with the names of Go's fields, as melange prints it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BuildOption {
    /// Variables, over those of the file.
    pub vars: Map,
    /// The guest.
    pub environment: EnvironmentOption,
}

/// See [`BuildOption`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EnvironmentOption {
    /// Its content.
    pub contents: ContentsOption,
}

/// See [`BuildOption`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContentsOption {
    /// Its packages.
    pub packages: ListOption,
}

/// The items to add to a list, and those to remove.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListOption {
    /// Added at the end.
    pub add: Vec<Text>,
    /// Taken away after that.
    pub remove: Vec<Text>,
}

impl Read for BuildOption {
    const EXPECTED: &'static str = "a map (vars, environment)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("a build option", node, report)?;
        let option = Self { vars: fields.take("vars"), environment: fields.take("environment") };
        fields.close();
        Some(option)
    }
}

impl Read for EnvironmentOption {
    const EXPECTED: &'static str = "a map (contents)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("the environment of a build option", node, report)?;
        let option = Self { contents: fields.take("contents") };
        fields.close();
        Some(option)
    }
}

impl Read for ContentsOption {
    const EXPECTED: &'static str = "a map (packages)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("the contents of a build option", node, report)?;
        let option = Self { packages: fields.take("packages") };
        fields.close();
        Some(option)
    }
}

impl Read for ListOption {
    const EXPECTED: &'static str = "a map (add, remove)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("the packages of a build option", node, report)?;
        let option = Self { add: fields.take("add"), remove: fields.take("remove") };
        fields.close();
        Some(option)
    }
}

/// All build options, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct BuildOptions(pub BTreeMap<Text, BuildOption>);

impl Read for BuildOptions {
    const EXPECTED: &'static str = "a map from names to options";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        walk::entries(node, report).map(Self)
    }
}

/// Linux capabilities of the build.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Capabilities {
    /// Over the default set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Text>,
    /// Taken from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<Text>,
}

impl Read for Capabilities {
    const EXPECTED: &'static str = "a map (add, drop)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("capabilities", node, report)?;
        let capabilities = Self { add: fields.take("add"), drop: fields.take("drop") };
        fields.close();
        Some(capabilities)
    }
}
