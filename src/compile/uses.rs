//! The second pass over steps: definitions are put in, inputs bound, variables replaced strictly, conditions decided, needs
//! gathered.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    condition,
    faults::Faults,
    inputs::Binding,
    layers::{Layers, Place},
    recipe::{self, Condition, Origin, PackageRequest},
    shell::{Fragment, shape_of},
    source::{Definition, PipelineSource, valid_name},
    substitute::{self, Scope},
};
use crate::manifest::{Map, Needs, Source, Step, Text, nearest};

/// How deep definitions may use definitions: one that uses itself would never end.
const MAX_DEPTH: usize = 32;
/// How many steps a recipe may have: definitions that use others twice each grow fast.
const MAX_STEPS: usize = 20_000;

/// Puts definitions into the steps of one file.
pub(crate) struct Expander<'c> {
    definitions: &'c dyn PipelineSource,
    pub(crate) faults: &'c mut Faults,
    /// The scripts to check as shell.
    pub(crate) fragments: Vec<Fragment>,
    /// The packages that the steps so far need.
    pub(crate) needs: Vec<PackageRequest>,
    steps: usize,
}

impl<'c> Expander<'c> {
    pub(crate) fn new(definitions: &'c dyn PipelineSource, faults: &'c mut Faults) -> Self {
        Self { definitions, faults, fragments: Vec::new(), needs: Vec::new(), steps: 0 }
    }

    /// The steps of one package, compiled.
    pub(crate) fn pipeline(
        &mut self,
        steps: &[Step],
        source: &Source,
        scope: &Scope<'_>,
    ) -> Vec<recipe::Step> {
        let nowhere = Text::default();
        let place = Place {
            source,
            definition: None,
            scope,
            used: None,
            nested: false,
            runs: true,
            working_directory: &nowhere,
            depth: 0,
        };
        steps.iter().map(|step| self.step(step, place)).collect()
    }

    fn step(&mut self, step: &Step, place: Place<'_>) -> recipe::Step {
        self.steps += 1;
        if self.steps == MAX_STEPS {
            let message = format!("more than {MAX_STEPS} steps");
            self.faults.push(place.source.diagnostic(step.at, message));
        }
        if self.steps >= MAX_STEPS {
            return recipe::Step::default();
        }
        let definition = self.definition(step, place);
        let layers = Layers { step, place, definition: definition.as_ref() };
        let values = self.bind(&layers);
        let mut scope = Scope::over(place.scope);
        for (name, value) in &values {
            scope.set(format!("inputs.{name}"), value.as_str());
        }
        self.compiled(&layers, &values, &scope)
    }

    /// The definition that a step uses, if it does and there is one.
    fn definition(&mut self, step: &Step, place: Place<'_>) -> Option<Arc<Definition>> {
        if step.uses.is_empty() {
            return None;
        }
        let at = step.uses.position;
        if !step.pipeline.is_empty() {
            // A compiled file compiled again: `uses` is a remark then.
            let message =
                format!("`pipeline` is written beside `uses: {}`, whose definition is not read", step.uses);
            self.faults.warn(place.source.diagnostic(at, message));
            return None;
        }
        if place.depth >= MAX_DEPTH {
            let message = format!("definitions use each other more than {MAX_DEPTH} deep");
            self.faults.push(place.source.diagnostic(at, message));
            return None;
        }
        if let Err(why) = valid_name(&step.uses) {
            self.faults.push(place.source.diagnostic(at, format!("invalid `uses: {}`: {why}", step.uses)));
            return None;
        }
        match self.definitions.find(&step.uses) {
            Ok(Some(definition)) => Some(definition),
            Ok(None) => {
                self.unknown(step, place.source);
                None
            }
            Err(found) => {
                for fault in found.0 {
                    self.faults.push(fault);
                }
                None
            }
        }
    }

    fn unknown(&mut self, step: &Step, source: &Source) {
        if self.faults.is_full() {
            return;
        }
        let fault = source
            .diagnostic(step.uses.position, format!("no pipeline definition is called `{}`", step.uses));
        self.faults.push(match nearest(&step.uses, &self.definitions.known()) {
            Some(near) => {
                fault.hint(format!("did you mean `{near}`? Directories are named with --pipeline-dirs"))
            }
            None => fault.hint("directories of definitions are named with --pipeline-dirs"),
        });
    }

    fn bind<'l>(&mut self, layers: &Layers<'l>) -> BTreeMap<&'l str, String> {
        static NOTHING: Map = Map::new();
        let Layers { step, place, definition } = layers;
        let given = step.with.as_ref().unwrap_or(&NOTHING);
        let inputs = definition.map_or(&step.inputs, |definition| &definition.step.inputs);
        if definition.is_some() {
            for name in given.keys().filter(|name| !inputs.contains_key(name.as_str())) {
                if self.faults.is_full() {
                    break;
                }
                let message = format!("the definition `{}` has no input `{name}`", step.uses);
                let fault = place.source.diagnostic(name.position, message);
                let known: Vec<&str> = inputs.keys().map(Text::as_str).collect();
                self.faults.push(match nearest(name, &known) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None if known.is_empty() => fault.hint("it has no inputs"),
                    None => fault.hint(format!("it has: {}", known.join(", "))),
                });
            }
        }
        let binding = Binding {
            inputs,
            given,
            step: (place.source, step.at),
            definition: definition.map_or(place.source, |definition| &definition.source),
        };
        binding.resolve(place.scope, self.faults)
    }

    fn compiled(
        &mut self,
        layers: &Layers<'_>,
        values: &BTreeMap<&str, String>,
        scope: &Scope<'_>,
    ) -> recipe::Step {
        let Layers { step, place, definition } = *layers;
        let inner = definition.map_or(place.source, |definition| &definition.source);
        let condition = self.condition(layers, scope);
        let runs = place.runs && condition.holds();
        let needs = self.gather(layers, scope, runs);
        let working_directory = match layers.text(|step| &step.working_directory) {
            (text, _) if text.is_empty() => place.working_directory.clone(),
            (text, source) => self.faults.strict(source, text, scope),
        };
        let script = self.script(layers, scope);
        let used = place.used.or(definition.map(|_| (place.source, &step.uses)));
        let below = Place {
            source: inner,
            definition: definition.or(place.definition),
            scope,
            used,
            nested: true,
            runs,
            working_directory: &working_directory,
            depth: place.depth + usize::from(definition.is_some()),
        };
        let children = definition.map_or(&step.pipeline, |definition| &definition.step.pipeline);
        let steps = children.iter().map(|child| self.step(child, below)).collect();
        let mut environment = step.environment.clone();
        if let Some(definition) = definition {
            environment
                .extend(definition.step.environment.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        // melange leaves variables here as they are. The definitions that came with kiln give their inputs to their
        // scripts so: there no text of an input can become shell.
        if place.definition.is_some_and(|definition| definition.built_in) {
            self.faults.strict_values(place.source, &mut environment, scope);
        }
        recipe::Step {
            condition,
            name: step.name.clone(),
            uses: layers.text(|step| &step.uses).0.clone(),
            with: layers.shown(values),
            script,
            steps,
            needs,
            label: layers.text(|step| &step.label).0.clone(),
            assertions: definition
                .and_then(|definition| definition.step.assertions.clone())
                .or(step.assertions.clone()),
            environment,
            origin: Origin::new(place.source, step.at),
            used_at: used.map(|(source, uses)| Origin::new(source, uses.position)),
            working_directory,
        }
    }

    /// The script, noted for the check unless it is built in.
    fn script(&mut self, layers: &Layers<'_>, scope: &Scope<'_>) -> Text {
        let (raw, source) = layers.text(|step| &step.runs);
        let before = self.faults.faults.len();
        let text = self.faults.strict(source, raw, scope);
        if self.faults.faults.len() > before {
            // Its variables that are not replaced would be a second fault.
            return text;
        }
        let definition = layers.definition.or(layers.place.definition);
        if text.trim().is_empty() || definition.is_some_and(|definition| definition.built_in) {
            return text;
        }
        let shape = |definition: &Arc<Definition>| {
            let shape =
                substitute::strict(raw, |name| scope.look_up(name).map(|value| shape_of(value).into()));
            let shape = shape.ok().flatten().unwrap_or_else(|| raw.to_string());
            (Arc::clone(definition), shape)
        };
        self.fragments.push(Fragment {
            text: text.clone(),
            source: source.clone(),
            shape: definition.map(shape),
        });
        text
    }

    fn condition(&mut self, layers: &Layers<'_>, scope: &Scope<'_>) -> Condition {
        let (text, source) = layers.text(|step| &step.condition);
        decide(text, source, scope, self.faults)
    }

    /// Notes the packages that the step needs, if it runs; returns them for printing as melange prints them.
    fn gather(&mut self, layers: &Layers<'_>, scope: &Scope<'_>, runs: bool) -> Option<Needs> {
        let Layers { step, place, definition } = *layers;
        let (needs, source, by) =
            match definition.map(|definition| (&definition.step.needs, &definition.source)) {
                Some((Some(needs), source)) => (needs, source, Some(&step.uses)),
                _ => (step.needs.as_ref()?, place.source, place.used.map(|(_, uses)| uses)),
            };
        let mut packages = needs.packages.clone();
        self.faults.strict_all(source, &mut packages, scope);
        if runs {
            self.needs.extend(packages.iter().map(|name| {
                let (file, at) = match (by, place.used) {
                    (None, _) => (source, name.position),
                    (Some(_), Some((file, uses))) => (file, uses.position),
                    (Some(uses), None) => (place.source, uses.position),
                };
                PackageRequest { name: name.clone(), source: file.clone(), at, definition: by.cloned() }
            }));
        }
        (place.nested || !runs).then_some(Needs { packages })
    }
}

/// Replaces the variables of a condition by their quoted values, and decides it.
pub(crate) fn decide(text: &Text, source: &Source, scope: &Scope<'_>, faults: &mut Faults) -> Condition {
    if text.is_empty() {
        return Condition::Absent;
    }
    let quoted =
        substitute::strict(text, |name| scope.look_up(name).map(|value| condition::quote(value).into()));
    let text = match quoted {
        Ok(None) => text.clone(),
        Ok(Some(value)) => text.with_value(value),
        Err(found) => {
            faults.references(source, text, &found, scope);
            return Condition::Fails(text.clone());
        }
    };
    match condition::evaluate(&text, &|_| Some(String::new())) {
        Ok(true) => Condition::Holds(text),
        Ok(false) => Condition::Fails(text),
        Err(fault) => {
            let message = format!("invalid condition `{text}`: {}", fault.message);
            let hint = "a condition compares strings in quotes or variables, such as `${{build.arch}} == 'x86_64'`; \
                        package.*, vars.* and range.* become bare text, so they stand in quotes: `'${{vars.x}}' == 'y'`";
            faults.push(source.diagnostic(text.position, message).hint(hint));
            Condition::Fails(text)
        }
    }
}
