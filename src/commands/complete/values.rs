//! The candidates for a word of the command line: names that kiln knows, and the kinds of paths that the shell completes.

use clap::{Arg, Command, ValueHint};

use super::walk::Position;
use crate::{compile::Arch, ecosystem, home::Home, image, plan};

/// The candidates for a word.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) paths: Paths,
    /// The part of the word before the path: an option's name, or earlier members of a list.
    pub(super) prefix: String,
    /// Whole words.
    pub(super) values: Vec<Value>,
}

/// A candidate, and its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) about: String,
}

/// The kind of paths that the shell completes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paths {
    /// No paths.
    Values,
    Files,
    Directories,
    /// Files with the names of build files.
    BuildFiles,
}

impl Paths {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Files => "files",
            Self::Directories => "directories",
            Self::BuildFiles => "build-files",
        }
    }
}

/// The candidates at a position.
pub(super) fn answer(position: Position<'_>, home: Option<&Home>) -> Answer {
    match position {
        Position::Value { command, option, before, text } => value(command, option, before, text, home),
        Position::Last { command, positional: Some(argument), text } => {
            value(command, argument, "", text, home)
        }
        Position::Last { positional: None, .. } => words(Vec::new()),
        Position::Word { command, text, .. } if text.starts_with('-') => words(options(command, text)),
        Position::Word { command, positional, is_first, text } => {
            let below = if is_first { commands(command, text) } else { Vec::new() };
            match positional {
                Some(argument) if below.is_empty() => value(command, argument, "", text, home),
                // A command that takes only options.
                None if !command.has_subcommands() => words(options(command, text)),
                Some(_) | None => words(below),
            }
        }
    }
}

fn words(values: Vec<Value>) -> Answer {
    Answer { paths: Paths::Values, prefix: String::new(), values }
}

fn commands(command: &Command, text: &str) -> Vec<Value> {
    let shown = command.get_subcommands().filter(|below| !below.is_hide_set());
    let fits = shown.filter(|below| below.get_name().starts_with(text));
    fits.map(|below| named(below.get_name(), below.get_about())).collect()
}

/// The options except those of melange that have no effect: only the help lists them.
fn options(command: &Command, text: &str) -> Vec<Value> {
    let useful =
        command.get_arguments().filter(|option| !option.is_hide_set() && option.get_help_heading().is_none());
    let long = useful.filter_map(|option| Some((format!("--{}", option.get_long()?), option)));
    let fits = long.filter(|(name, _)| name.starts_with(text));
    fits.map(|(name, option)| named(&name, option.get_help())).collect()
}

fn named(name: &str, about: Option<&clap::builder::StyledStr>) -> Value {
    Value { text: name.to_owned(), about: about.map(ToString::to_string).unwrap_or_default() }
}

/// The values of an argument that begin with `text`, which follows `before` in the word.
fn value(command: &Command, argument: &Arg, before: &str, text: &str, home: Option<&Home>) -> Answer {
    // Only the last member of a list, or the last package of an image, is completed.
    let list = argument.get_value_delimiter().and_then(|comma| text.rfind(comma)).map_or(0, |at| at + 1);
    let (id, start) = (argument.get_id().as_str(), list);
    let (known, paths) = known(command, argument, &text[start..], home);
    let (start, known) = match packages_of_image(text).filter(|_| id == "image") {
        Some(start) => (start, plan::debian_packages().into_iter().map(bare).collect()),
        None => (start, known),
    };
    let prefix = format!("{before}{}", &text[..start]);
    let typed = text[start..].to_lowercase();
    let fits = known.into_iter().filter(|value| value.text.to_lowercase().starts_with(&typed));
    let values = fits.map(|value| Value { text: format!("{prefix}{}", value.text), ..value }).collect();
    Answer { paths, prefix, values }
}

/// Where the last package of `debian:SUITE+PACKAGE,…` begins.
fn packages_of_image(text: &str) -> Option<usize> {
    let first = text.strip_prefix(DEBIAN).and_then(|rest| rest.find('+'))? + DEBIAN.len() + 1;
    Some(text.rfind(',').map_or(first, |comma| first.max(comma + 1)))
}

/// How a reference to Debian's packages begins.
const DEBIAN: &str = "debian:";

fn bare(name: &str) -> Value {
    Value { text: name.to_owned(), about: String::new() }
}

/// The values that kiln knows for an argument, and the paths that can be its value.
fn known(command: &Command, argument: &Arg, text: &str, home: Option<&Home>) -> (Vec<Value>, Paths) {
    let only = |values: Vec<Value>| (values, Paths::Values);
    match (command.get_name(), argument.get_id().as_str()) {
        ("shell" | "test" | "package-version" | "query", "file")
        | ("build" | "plan" | "compile" | "update-cache", "files") => (Vec::new(), Paths::BuildFiles),
        (_, "image") => {
            let paths = if text.starts_with(DEBIAN) { Paths::Values } else { Paths::Files };
            (images(home), paths)
        }
        (_, "package_append") => only(plan::known_packages().iter().map(|name| bare(name)).collect()),
        (_, "keep" | "parts") => only(parts()),
        (_, "allow_capability") => only(plan::beyond_default_all().iter().map(|name| bare(name)).collect()),
        (_, "arch") => only(Arch::ALL.iter().map(|arch| bare(arch.apk())).collect()),
        (_, "host_certs") => (["auto", "off"].map(bare).into(), Paths::Files),
        (_, "log_level") => only(["error", "warn", "info", "debug"].map(bare).into()),
        (_, _) => {
            let possible = argument.get_value_parser().possible_values().into_iter().flatten();
            let shown = possible.filter(|value| !value.is_hide_set());
            (shown.map(|value| named(value.get_name(), value.get_help())).collect(), paths(argument))
        }
    }
}

fn paths(argument: &Arg) -> Paths {
    match argument.get_value_hint() {
        ValueHint::DirPath => Paths::Directories,
        ValueHint::AnyPath | ValueHint::FilePath => Paths::Files,
        _ => Paths::Values,
    }
}

/// The images of the store, and Debian's suites.
fn images(home: Option<&Home>) -> Vec<Value> {
    let mut references = home.map(image::references).unwrap_or_default();
    references.extend(plan::SUITES.iter().map(|suite| format!("{DEBIAN}{suite}")));
    references.sort();
    references.dedup();
    references.into_iter().map(|text| Value { text, about: String::new() }).collect()
}

/// The parts of a cache that an option can name.
fn parts() -> Vec<Value> {
    let tools = ecosystem::always().chain(ecosystem::on_request());
    let tool = |tool: &ecosystem::Ecosystem| Value { text: tool.name.into(), about: tool.directory.into() };
    tools
        .map(tool)
        .chain([Value { text: "sources".into(), about: "fetch and git-checkout".into() }])
        .collect()
}
