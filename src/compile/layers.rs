//! A step as it is compiled: its surroundings, and its definition.

use std::{collections::BTreeMap, sync::Arc};

use super::{source::Definition, substitute::Scope};
use crate::manifest::{Map, Source, Step, Text};

/// The surroundings of a step.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) source: &'p Source,
    /// The definition it is a part of.
    pub(super) definition: Option<&'p Arc<Definition>>,
    pub(super) scope: &'p Scope<'p>,
    /// The outermost `uses` above it, with its file.
    pub(super) used: Option<(&'p Source, &'p Text)>,
    /// Whether it is nested in another step.
    pub(super) nested: bool,
    /// Whether all conditions above it hold.
    pub(super) runs: bool,
    pub(super) working_directory: &'p Text,
    pub(super) depth: usize,
}

/// A step and its definition.
#[derive(Clone, Copy)]
pub(super) struct Layers<'l> {
    pub(super) step: &'l Step,
    pub(super) place: Place<'l>,
    pub(super) definition: Option<&'l Arc<Definition>>,
}

impl<'l> Layers<'l> {
    /// A text of the definition, or of the step if the definition has none; and its file.
    pub(super) fn text(&self, of: impl Fn(&'l Step) -> &'l Text) -> (&'l Text, &'l Source) {
        match self.definition {
            Some(definition) if !of(&definition.step).is_empty() => {
                (of(&definition.step), &definition.source)
            }
            _ => (of(self.step), self.place.source),
        }
    }

    /// The inputs that melange prints: those whose value is not the text of the default; no inputs for an outer step that gives
    /// none.
    pub(super) fn shown(&self, values: &BTreeMap<&str, String>) -> Map {
        let gives = self.step.with.as_ref().is_some_and(|with| !with.is_empty());
        if !gives && !self.place.nested {
            return Map::new();
        }
        let inputs = self.definition.map_or(&self.step.inputs, |definition| &definition.step.inputs);
        values
            .iter()
            .filter(|(name, value)| inputs.get(**name).map_or("", |input| &input.default) != value.as_str())
            .map(|(name, value)| {
                let given = self.step.with.as_ref().and_then(|with| with.get_key_value(*name));
                match given {
                    Some((key, text)) => (key.clone(), text.with_value(value.as_str())),
                    None => (Text::from(*name), Text::from(value.as_str())),
                }
            })
            .collect()
    }
}
