//! Which part of the build file, or of the command line, gives a variable its value.

use super::{GivenBy, Variable};
use crate::{
    compile::{Options, recipe::Origin},
    manifest::{Manifest, Position, Text},
};

/// Where values can come from.
#[derive(Clone, Copy)]
pub(super) struct Origins<'o> {
    pub(super) manifest: &'o Manifest,
    pub(super) options: &'o Options<'o>,
}

/// An item of a range.
#[derive(Clone, Copy)]
pub(super) struct Item<'m> {
    pub(super) table: &'m Text,
    pub(super) key: &'m Text,
    pub(super) value: &'m Text,
}

impl Origins<'_> {
    /// All of these, sorted by name.
    pub(super) fn variables(&self, values: Vec<(&str, &str)>, item: Option<Item<'_>>) -> Vec<Variable> {
        values.into_iter().map(|(name, value)| self.variable(name, value, item)).collect()
    }

    /// A variable that is not an input.
    pub(super) fn variable(&self, name: &str, value: &str, item: Option<Item<'_>>) -> Variable {
        let (given_by, origin) = self.giver(name, item);
        Variable { name: name.into(), value: value.into(), given_by, origin }
    }

    fn giver(&self, name: &str, item: Option<Item<'_>>) -> (GivenBy, Option<Origin>) {
        if let Some(field) = name.strip_prefix("package.") {
            return self.package(field);
        }
        if let Some(name) = name.strip_prefix("vars.") {
            return self.vars(name);
        }
        if let Some(name) = name.strip_prefix("options.").and_then(|rest| rest.strip_suffix(".enabled")) {
            let written = self.manifest.options.0.get_key_value(name).map(|(key, _)| self.here(key.position));
            let on = self.options.build_options.iter().any(|option| option == name);
            return (if on { GivenBy::BuildOption(name.into()) } else { GivenBy::Options }, written);
        }
        match (name, item) {
            ("range.key" | "range.value", Some(item)) => {
                (GivenBy::Range(item.table.to_string()), Some(self.here(item.key.position)))
            }
            _ => (GivenBy::BuiltIn, None),
        }
    }

    fn package(&self, field: &str) -> (GivenBy, Option<Origin>) {
        let package = &self.manifest.package;
        let at = match field {
            "name" => package.name.position,
            "version" => package.version.position,
            "description" => package.description.position,
            "epoch" | "full-version" => package.at,
            _ => return (GivenBy::BuiltIn, None),
        };
        (GivenBy::Package, Some(self.here(at)))
    }

    /// The last that sets it counts: transforms, then the build options in their order, then the file of variables.
    fn vars(&self, name: &str) -> (GivenBy, Option<Origin>) {
        let Self { manifest, options } = self;
        if let Some(transform) = manifest.var_transforms.iter().rfind(|transform| transform.to == name) {
            return (GivenBy::Transform, Some(self.here(transform.to.position)));
        }
        for option in options.build_options.iter().rev() {
            let vars = manifest.options.0.get(option.as_str()).map(|option| &option.vars);
            if let Some(value) = vars.and_then(|vars| vars.get(name)) {
                return (GivenBy::BuildOption(option.clone()), Some(self.here(value.position)));
            }
        }
        if options.vars.contains_key(name) {
            return (GivenBy::VarsFile, None);
        }
        let written = manifest.vars.get(name).map(|value| self.here(value.position));
        (GivenBy::Vars, written)
    }

    /// A place of the build file.
    pub(super) fn here(&self, at: Position) -> Origin {
        Origin::new(&self.manifest.source, at)
    }
}
