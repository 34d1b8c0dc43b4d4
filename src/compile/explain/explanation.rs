//! An explanation as a value.

use crate::compile::recipe::Origin;

/// The steps of a build file, and the origin of their values.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// `name-version-rN`.
    pub package: String,
    /// The architecture, as apk spells it.
    pub arch: String,
    /// All variables that every step of the main package can name, sorted by name.
    pub variables: Vec<Variable>,
    /// The main package and all subpackages, those that were dropped too.
    pub packages: Vec<ExplainedPackage>,
}

/// A variable, its value and the origin of the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// `vars.x`, not `${{vars.x}}`.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The origin of the value.
    pub given_by: GivenBy,
    /// The place of the origin; `None` if it is not in a file.
    pub origin: Option<Origin>,
}

/// The origin of a variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenBy {
    /// kiln itself, from the architecture and the names of packages.
    BuiltIn,
    /// `package` of the build file.
    Package,
    /// `vars` of the build file.
    Vars,
    /// `--vars-file`.
    VarsFile,
    /// `var-transforms`.
    Transform,
    /// A build option that is on; its name.
    BuildOption(String),
    /// The list of `options`.
    Options,
    /// An item of a table of `data`; the table's name.
    Range(String),
    /// `with` of the step that uses a definition.
    With,
    /// The default of a definition's input.
    Default,
}

/// A condition: as written, with its values, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// As written.
    pub written: String,
    /// With the values of its variables.
    pub compared: String,
    /// Whether it holds.
    pub holds: bool,
    /// The variables it names.
    pub variables: Vec<Variable>,
    /// Its place.
    pub origin: Origin,
}

/// A package or subpackage.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedPackage {
    /// Its name.
    pub name: String,
    /// Its place.
    pub origin: Origin,
    /// Its condition, if it has one.
    pub condition: Option<Decision>,
    /// The variables that it has by itself: its own name and directory, the item of its range.
    pub variables: Vec<Variable>,
    /// Its steps.
    pub steps: Vec<ExplainedStep>,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedStep {
    /// For people: its name, definition or first line; may be empty.
    pub name: String,
    /// Its place.
    pub origin: Origin,
    /// The definition it uses, with the file that was found.
    pub definition: Option<(String, String)>,
    /// The definitions that it came through, outermost first.
    pub through: Vec<String>,
    /// Its condition, if it has one.
    pub condition: Option<Decision>,
    /// Whether it runs: its condition holds, and all above it.
    pub runs: bool,
    /// Its number in the plan; `None` if it has no script or does not run.
    pub index: Option<u32>,
    /// The inputs of its definition.
    pub inputs: Vec<Variable>,
    /// The variables that its `with` names, as they are around it.
    pub given_from: Vec<Variable>,
    /// The other variables that it names, those of its condition and its inputs aside.
    pub variables: Vec<Variable>,
    /// `required-steps`, and how many of its steps run.
    pub required: Option<(i64, usize)>,
    /// The steps below it.
    pub steps: Vec<ExplainedStep>,
}
