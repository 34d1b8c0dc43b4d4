//! A compiled build file: everything substituted, every `uses` expanded, for one architecture.
//!
//! Comes from [`super::compile`]; `plan` puts it on a host, `kiln compile` prints it. Steps whose condition does not hold stay
//! in the tree, marked, because melange prints them; [`Recipe::package_steps`] has the steps to run, in order.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::arch::Arch;
use crate::{
    ecosystem::Ecosystem,
    manifest::{
        Assertions, BuildOptions, Capabilities, Checks, Dependencies, Diagnostic, Environment, Map, Needs,
        Package, PackageOptions, Position, Scriptlets, Source, Text, Update, VarTransform,
    },
};

/// A compiled build file.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The architecture.
    pub arch: Arch,
    /// The main package.
    pub package: Package,
    /// The guest: `contents.packages` has the packages of the file and of the steps, in that order and with repetitions;
    /// `variables` holds the defaults, too.
    pub environment: Environment,
    /// The same packages, each with the place that names it; not printed.
    pub requests: Vec<PackageRequest>,
    /// `--package-append`: installed as well, but not printed.
    pub appended_packages: Vec<String>,
    /// `--cache-also`: ecosystems whose caches the build has besides those of every build; not printed either.
    pub cache_also: Vec<&'static Ecosystem>,
    /// Linux capabilities of the build.
    pub capabilities: Capabilities,
    /// The steps of the main package.
    pub steps: Vec<Step>,
    /// All subpackages, in order, ranges expanded.
    pub subpackages: Vec<Subpackage>,
    /// Metadata, passed on.
    pub update: Update,
    /// Variables as written, with those of `--vars-file` and of build options.
    pub vars: Map,
    /// Transforms as written.
    pub var_transforms: Vec<VarTransform>,
    /// Build options as written.
    pub options: BuildOptions,
    /// The test of the main package, for `kiln test`.
    pub test: Option<Test>,
    /// Warnings, which do not stop a build.
    pub warnings: Vec<Diagnostic>,
}

/// A package that the build's guest must have.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageRequest {
    /// Its name as written, variables replaced; perhaps with a constraint on the version, as apk writes it.
    pub name: Text,
    /// The file that names it, or that uses a definition with it.
    pub source: Source,
    /// Where in that file.
    pub at: Position,
    /// The definition whose `needs` name it; `None` for a package of the build file.
    pub definition: Option<Text>,
}

/// A further package of the same build.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "as in `Package`")]
pub struct Subpackage {
    /// Its condition.
    pub condition: Condition,
    pub name: Text,
    pub steps: Vec<Step>,
    pub dependencies: Dependencies,
    pub options: Option<PackageOptions>,
    pub scriptlets: Option<Scriptlets>,
    pub description: Text,
    pub annotations: Map,
    pub url: Text,
    pub commit: Text,
    pub checks: Checks,
    pub test: Option<Test>,
}

/// The test of a package, for `kiln test`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Test {
    /// The guest of the test; its packages include the package itself.
    pub environment: Environment,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// A compiled step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Its condition.
    pub condition: Condition,
    /// Its name in the build file; may be empty.
    pub name: Text,
    /// The definition it was made from; may be empty.
    pub uses: Text,
    /// The inputs that are not the definition's defaults.
    pub with: Map,
    /// The script; may be empty.
    pub script: Text,
    /// Steps below it; they run after its own script.
    pub steps: Vec<Step>,
    /// Packages that it needs and that melange prints with it; those of top-level steps are in the environment only.
    pub needs: Option<Needs>,
    /// Accepted, without effect.
    pub label: Text,
    /// Its assertions.
    pub assertions: Option<Assertions>,
    /// Where it runs, as written: relative to `/home/build`; empty: there.
    pub working_directory: Text,
    /// Its own variables; those of the steps above it are not repeated here, unless melange prints them so.
    pub environment: Map,
    /// Its place.
    pub origin: Origin,
    /// The `uses` of the build file, for a step of a definition.
    pub used_at: Option<Origin>,
}

/// A condition and whether it holds; known when the recipe is made, because nothing it can ask changes later.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Condition {
    /// No condition: it holds.
    #[default]
    Absent,
    /// It holds.
    Holds(Text),
    /// It does not.
    Fails(Text),
}

impl Condition {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        match self {
            Self::Absent | Self::Holds(_) => true,
            Self::Fails(_) => false,
        }
    }

    /// Its text, with variables replaced; may be empty.
    pub fn text(&self) -> &str {
        match self {
            Self::Absent => "",
            Self::Holds(text) | Self::Fails(text) => text,
        }
    }
}

/// Where a step was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The build file, or the file of a definition; `<name>.yaml (built in)` for an embedded one.
    pub file: Arc<Path>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl Origin {
    /// A place of a file.
    pub fn new(source: &Source, at: Position) -> Self {
        Self { file: Arc::clone(&source.file), line: at.line, column: at.column }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { origin, step, required, runs } = self;
        write!(
            f,
            "{origin}: the step `{step}` requires {required} of its steps to run (required-steps), and {runs} would"
        )
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self { file: Path::new("").into(), line: 0, column: 0 }
    }
}

/// The steps that fill one package, or test it.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageSteps {
    /// The package's name.
    pub package: String,
    /// The steps that run, in order; may be empty.
    pub runs: Vec<Run>,
    /// `assertions` that will not hold: a reason not to begin.
    pub unmet: Vec<Unmet>,
}

/// A step with fewer running children than its `required-steps`; known before a step runs, since conditions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The place of the step.
    pub origin: Origin,
    /// Its name, definition or first line.
    pub step: String,
    /// The number that must run.
    pub required: i64,
    /// How many run.
    pub runs: usize,
}

/// One shell that is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// For people: the step's name, else its definition, else its first line.
    pub name: String,
    /// The fragment, without the frame (`set -e`, `cd`) that the plan puts around it.
    pub script: String,
    /// Absolute.
    pub working_directory: String,
    /// The step's variables and those of the steps above it, over those of the environment.
    pub environment: BTreeMap<String, String>,
    /// The definitions above it, outermost first.
    pub uses: Vec<String>,
    /// Its place.
    pub origin: Origin,
    /// The `uses` of the build file, for a step of a definition.
    pub used_at: Option<Origin>,
}
