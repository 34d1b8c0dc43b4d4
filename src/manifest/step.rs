//! A step of a pipeline as written; a pipeline definition is a step with inputs.

use std::collections::BTreeMap;

use super::{
    text::{Map, Position, Text},
    walk::{self, Fields, Read, Report},
    yaml::Node,
};

/// One step: it runs a script, uses a definition, or holds steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// A condition.
    pub condition: Text,
    /// A label for the log.
    pub name: Text,
    /// The definition it uses.
    pub uses: Text,
    /// The inputs it gives; `None` if the key is absent.
    pub with: Option<Map>,
    /// A script.
    pub runs: Text,
    /// Steps below it.
    pub pipeline: Vec<Step>,
    /// The inputs of a definition.
    pub inputs: BTreeMap<Text, Input>,
    /// Packages it needs in the guest; `None` if the key is absent.
    pub needs: Option<Needs>,
    /// Accepted, without effect.
    pub label: Text,
    /// Its assertions.
    pub assertions: Option<Assertions>,
    /// Where it runs.
    pub working_directory: Text,
    /// Its variables.
    pub environment: Map,
    /// Its place.
    pub at: Position,
}

impl Read for Step {
    const EXPECTED: &'static str = "a step: a map (uses, runs, pipeline, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("a step", node, report)?;
        let step = Self {
            name: fields.take("name"),
            condition: fields.take("if"),
            uses: fields.take("uses"),
            with: fields.take("with"),
            runs: fields.take("runs"),
            pipeline: fields.take("pipeline"),
            inputs: fields
                .find("inputs")
                .and_then(|(_, node)| inputs(node, fields.report))
                .unwrap_or_default(),
            needs: fields.take("needs"),
            label: fields.take("label"),
            assertions: fields.take("assertions"),
            working_directory: fields.take("working-directory"),
            environment: fields.take("environment"),
            at: node.at,
        };
        fields.close();
        Some(step)
    }
}

fn inputs(node: &Node<'_>, report: &mut Report<'_>) -> Option<BTreeMap<Text, Input>> {
    if node.is_null() {
        return None;
    }
    let inputs = walk::entries(node, report);
    if inputs.is_none() {
        report.fault(node.at, format!("expected a map from names to inputs, found {}", node.kind()));
    }
    inputs
}

/// An input of a definition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    /// For people.
    pub description: Text,
    /// Used where the step gives nothing.
    pub default: Text,
    /// Whether the step must give it.
    pub required: bool,
}

impl Read for Input {
    const EXPECTED: &'static str = "a map (description, default, required)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("an input", node, report)?;
        let input = Self {
            description: fields.take("description"),
            default: fields.take("default"),
            required: fields.take("required"),
        };
        fields.close();
        Some(input)
    }
}

/// The packages that a step needs in the guest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    /// Packages.
    pub packages: Vec<Text>,
}

impl Read for Needs {
    const EXPECTED: &'static str = "a map (packages)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("needs", node, report)?;
        let needs = Self { packages: fields.take("packages") };
        fields.close();
        Some(needs)
    }
}

/// The assertions of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assertions {
    /// So many of its direct children must have run; exactly.
    pub required_steps: i64,
}

impl Read for Assertions {
    const EXPECTED: &'static str = "a map (required-steps)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("assertions", node, report)?;
        let assertions = Self { required_steps: fields.take("required-steps") };
        fields.close();
        Some(assertions)
    }
}
