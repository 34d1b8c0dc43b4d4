//! The build file exactly as written: YAML → [`Manifest`].
//!
//! Comes first; `compile` makes a recipe of it. Variables and conditions stay as written. Unknown keys, wrong types and repeated
//! keys are refused, all faults of a file at once. The only I/O is reading the file.

mod diagnostic;
pub mod duration;
mod effect;
mod environment;
pub(crate) mod file;
mod package;
mod scalar;
mod scriptlets;
mod step;
mod subpackage;
mod text;
mod update;
mod walk;
pub mod yaml;
mod yaml_input;

use std::path::Path;

pub(crate) use self::walk::nearest;
pub use self::{
    diagnostic::{Diagnostic, Diagnostics, Source},
    environment::{Accounts, BaseImage, Contents, Entrypoint, Environment, Group, PathMutation, User},
    package::{Capability, Checks, Copyright, Cpe, Dependencies, Package, PackageOptions, Resources},
    scriptlets::{Scriptlets, Trigger},
    step::{Assertions, Input, Needs, Step},
    subpackage::{
        BuildOption, BuildOptions, Capabilities, ContentsOption, EnvironmentOption, ListOption, Subpackage,
        Table, Test, VarTransform,
    },
    text::{Layout, Map, Position, Text},
    update::{ReleaseMonitor, Schedule, Tags, Update, VersionData, VersionSource, VersionTransform},
};
use self::{
    walk::{Fields, Report, UnknownKeys},
    yaml::{Document, Node},
};

/// A build file as written.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file and its text, to quote from.
    pub source: Source,
    /// `package`.
    pub package: Package,
    /// `environment`.
    pub environment: Environment,
    /// `capabilities`.
    pub capabilities: Capabilities,
    /// `pipeline`.
    pub pipeline: Vec<Step>,
    /// `subpackages`.
    pub subpackages: Vec<Subpackage>,
    /// `data`.
    pub data: Vec<Table>,
    /// `update`.
    pub update: Update,
    /// `vars`.
    pub vars: Map,
    /// `var-transforms`.
    pub var_transforms: Vec<VarTransform>,
    /// `options`.
    pub options: BuildOptions,
    /// `test`.
    pub test: Option<Test>,
    /// Keys that kiln does not follow, in the order of the file.
    pub notes: Vec<Diagnostic>,
}

/// Reads a build file from its text; `file` is only for messages.
///
/// # Errors
/// All faults of the file.
pub fn parse(text: &str, file: &Path) -> Result<Manifest, Diagnostics> {
    let source = Source::new(file, text);
    let Document { root, repeated } = yaml::read(text, &source)?;
    let Some(node) = root.filter(|node| !node.is_null()) else {
        let fault = source.diagnostic(Position::default(), "is empty");
        return Err(fault.hint("a build file has at least `package`, with a name and a version").into());
    };
    let mut report = Report::new(&source, UnknownKeys::Refuse, repeated);
    let manifest = sections(&node, &source, &mut report);
    match (manifest, report.into_faults()) {
        (Some(manifest), faults) if faults.is_empty() => Ok(manifest),
        (Some(_), faults) => Err(Diagnostics(faults).sorted()),
        (None, _) => {
            let message = format!("expected a map (package, pipeline, …), found {}", node.kind());
            Err(source.diagnostic(node.at, message).into())
        }
    }
}

/// Reads a build file.
///
/// # Errors
/// A file that cannot be read, or is not UTF-8; all faults of its text.
pub fn load(path: &Path) -> Result<Manifest, Diagnostics> {
    parse(&file::read(path)?, path)
}

/// Reads a pipeline definition: a step with inputs. Unknown keys are ignored, as in melange.
///
/// # Errors
/// All faults of the file but unknown keys.
pub fn parse_definition(text: &str, source: &Source) -> Result<Step, Diagnostics> {
    let Document { root, repeated } = yaml::read(text, source)?;
    let Some(node) = root else { return Ok(Step::default()) };
    let mut report = Report::new(source, UnknownKeys::Ignore, repeated);
    let step = walk::value::<Step>(&node, &mut report);
    let faults = report.into_faults();
    if faults.is_empty() { Ok(step) } else { Err(Diagnostics(faults).sorted()) }
}

/// Reads a plain map, such as a `--vars-file`.
///
/// # Errors
/// All faults of the file.
pub fn parse_map(text: &str, source: &Source) -> Result<Map, Diagnostics> {
    let Document { root, repeated } = yaml::read(text, source)?;
    let Some(node) = root else { return Ok(Map::new()) };
    let mut report = Report::new(source, UnknownKeys::Refuse, repeated);
    let map = walk::value::<Map>(&node, &mut report);
    let faults = report.into_faults();
    if faults.is_empty() { Ok(map) } else { Err(Diagnostics(faults).sorted()) }
}

fn sections(node: &Node<'_>, source: &Source, report: &mut Report<'_>) -> Option<Manifest> {
    let mut fields = Fields::open("a build file", node, report)?;
    let manifest = Manifest {
        source: source.clone(),
        package: fields.take("package"),
        environment: fields.take("environment"),
        capabilities: fields.take("capabilities"),
        pipeline: fields.take("pipeline"),
        subpackages: fields.take("subpackages"),
        data: fields.take("data"),
        update: fields.take("update"),
        vars: fields.take("vars"),
        var_transforms: fields.take("var-transforms"),
        options: fields.take("options"),
        test: fields.take("test"),
        notes: Vec::new(),
    };
    fields.close();
    let notes = report.take_notes();
    Some(Manifest { notes, ..manifest })
}
