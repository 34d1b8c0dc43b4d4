//! The three forms of a file, walked side by side.

use std::sync::Arc;

use super::{
    Decision, ExplainedPackage, ExplainedStep, GivenBy, Variable,
    origins::{Item, Origins},
};
use crate::{
    compile::{
        draft::propagate,
        faults::Faults,
        inputs::Binding,
        literal::Literal,
        recipe::{self, Condition, Origin, Recipe},
        source::{Definition, PipelineSource},
        steps,
        substitute::{self, Scope},
        variables,
    },
    manifest::{self, Map, Source, Step, Text},
};

pub(super) struct Walker<'w> {
    origins: Origins<'w>,
    definitions: &'w dyn PipelineSource,
    /// The number of the next step of the plan.
    index: u32,
}

/// The surroundings of a step.
#[derive(Clone, Copy)]
struct Around<'a> {
    source: &'a Source,
    scope: &'a Scope<'a>,
    item: Option<Item<'a>>,
    /// The inputs in sight, those of the innermost definition last.
    inputs: &'a [Variable],
    /// The definitions that it came through.
    through: &'a [String],
    runs: bool,
}

/// One step in its three forms.
#[derive(Clone, Copy)]
struct Forms<'f> {
    written: &'f Step,
    /// After the first pass.
    literal: &'f Step,
    compiled: &'f recipe::Step,
}

impl<'w> Walker<'w> {
    pub(super) fn new(origins: Origins<'w>, definitions: &'w dyn PipelineSource) -> Self {
        Self { origins, definitions, index: 0 }
    }

    pub(super) fn main(
        &mut self,
        recipe: &Recipe,
        first: &Scope<'_>,
        common: &Scope<'_>,
    ) -> ExplainedPackage {
        let manifest = self.origins.manifest;
        ExplainedPackage {
            name: recipe.package.name.to_string(),
            origin: self.origins.here(manifest.package.at),
            condition: None,
            variables: Vec::new(),
            steps: self.top(&manifest.pipeline, &recipe.steps, first, self.around(common, None, true)),
        }
    }

    pub(super) fn subpackage(
        &mut self,
        written: &manifest::Subpackage,
        item: Option<Item<'_>>,
        compiled: &recipe::Subpackage,
        (first, common): (&Scope<'_>, &Scope<'_>),
    ) -> ExplainedPackage {
        let (mut literal, mut ranged) = (Scope::over(first), Scope::over(common));
        if let Some(Item { table: _, key, value }) = item {
            for scope in [&mut literal, &mut ranged] {
                scope.set("range.key", key.as_str());
                scope.set("range.value", value.as_str());
            }
        }
        let scope = variables::subpackage(&ranged, &compiled.name);
        let around = self.around(&scope, item, compiled.condition.holds());
        let mut own = scope.own();
        own.extend(ranged.own());
        own.sort_unstable();
        ExplainedPackage {
            name: compiled.name.to_string(),
            origin: self.origins.here(written.at),
            condition: decision(
                &written.condition,
                &compiled.condition,
                &self.origins.manifest.source,
                &Finder { origins: self.origins, around },
            ),
            variables: self.origins.variables(own, item),
            steps: self.top(&written.pipeline, &compiled.steps, &literal, around),
        }
    }

    fn around<'a>(&self, scope: &'a Scope<'a>, item: Option<Item<'a>>, runs: bool) -> Around<'a>
    where
        'w: 'a,
    {
        let source = &self.origins.manifest.source;
        Around { source, scope, item, inputs: &[], through: &[], runs }
    }

    fn top(
        &mut self,
        written: &[Step],
        compiled: &[recipe::Step],
        first: &Scope<'_>,
        around: Around<'_>,
    ) -> Vec<ExplainedStep> {
        let mut literal = Literal { scope: first, commit: "" }.steps(written);
        literal.iter_mut().for_each(propagate);
        self.steps(written, &literal, compiled, around)
    }

    fn steps(
        &mut self,
        written: &[Step],
        literal: &[Step],
        compiled: &[recipe::Step],
        around: Around<'_>,
    ) -> Vec<ExplainedStep> {
        let forms = written.iter().zip(literal).zip(compiled);
        forms
            .map(|((written, literal), compiled)| self.step(Forms { written, literal, compiled }, around))
            .collect()
    }

    fn step(&mut self, forms: Forms<'_>, around: Around<'_>) -> ExplainedStep {
        let Forms { written, literal, compiled } = forms;
        let definition = self.definition(written);
        let inputs = bind(literal, definition.as_deref(), around);
        let mut scope = Scope::over(around.scope);
        for input in &inputs {
            scope.set(input.name.clone(), input.value.as_str());
        }
        let inner = definition.as_ref().map_or(around.source, |definition| &definition.source);
        let runs = around.runs && compiled.condition.holds();
        let in_sight: Vec<Variable> = around.inputs.iter().chain(&inputs).cloned().collect();
        let mut through = around.through.to_vec();
        let nameless =
            [&compiled.name, &compiled.uses, &compiled.script].iter().all(|text| text.trim().is_empty());
        let name = if nameless { String::new() } else { steps::label(compiled, &through) };
        through.extend(definition.is_some().then(|| written.uses.to_string()));
        let below =
            Around { source: inner, scope: &scope, inputs: &in_sight, through: &through, runs, ..around };
        let finder = Finder { origins: self.origins, around: below };
        let (condition, condition_source) =
            layered(written, definition.as_deref(), around.source, |step| &step.condition);
        let index = (runs && !compiled.script.trim().is_empty()).then(|| {
            self.index += 1;
            self.index - 1
        });
        let children = match &definition {
            Some(definition) => (&definition.step.pipeline, &definition.step.pipeline),
            None => (&written.pipeline, &literal.pipeline),
        };
        ExplainedStep {
            name,
            origin: Origin::new(around.source, written.at),
            definition: definition
                .as_ref()
                .map(|it| (written.uses.to_string(), it.source.file.display().to_string())),
            through: around.through.to_vec(),
            condition: decision(condition, &compiled.condition, condition_source, &finder),
            runs,
            index,
            given_from: Finder { origins: self.origins, around }.given(written),
            variables: finder.named(written, definition.as_deref(), &inputs),
            required: compiled.assertions.as_ref().map(|assertions| {
                (
                    assertions.required_steps,
                    compiled.steps.iter().filter(|step| step.condition.holds()).count(),
                )
            }),
            steps: self.steps(children.0, children.1, &compiled.steps, below),
            inputs,
        }
    }

    /// As compiling finds it: beside a `pipeline` of its own, `uses` is a remark.
    fn definition(&self, step: &Step) -> Option<Arc<Definition>> {
        if step.uses.is_empty() || !step.pipeline.is_empty() {
            return None;
        }
        self.definitions.find(&step.uses).ok().flatten()
    }
}

/// A text of the definition, or of the step if the definition has none; and its file.
fn layered<'l>(
    step: &'l Step,
    definition: Option<&'l Definition>,
    source: &'l Source,
    of: impl Fn(&'l Step) -> &'l Text,
) -> (&'l Text, &'l Source) {
    match definition {
        Some(definition) if !of(&definition.step).is_empty() => (of(&definition.step), &definition.source),
        _ => (of(step), source),
    }
}

fn decision(written: &Text, compiled: &Condition, source: &Source, finder: &Finder<'_>) -> Option<Decision> {
    if written.is_empty() {
        return None;
    }
    let mut variables = Vec::new();
    finder.add(written, &mut variables);
    Some(Decision {
        written: written.to_string(),
        compared: compiled.text().to_owned(),
        holds: compiled.holds(),
        variables,
        origin: Origin::new(source, written.position),
    })
}

/// The inputs that a step gives to its definition, and the definition's defaults; sorted by name.
fn bind(literal: &Step, definition: Option<&Definition>, around: Around<'_>) -> Vec<Variable> {
    static NOTHING: Map = Map::new();
    let given = literal.with.as_ref().unwrap_or(&NOTHING);
    let inputs = definition.map_or(&literal.inputs, |definition| &definition.step.inputs);
    let definition = definition.map_or(around.source, |definition| &definition.source);
    let binding = Binding { inputs, given, step: (around.source, literal.at), definition };
    let values = binding.resolve(around.scope, &mut Faults::default());
    let variable = |(name, value): (&str, String)| {
        let (given_by, origin) = match (given.get(name).filter(|text| !text.is_empty()), inputs.get(name)) {
            (Some(text), _) => (GivenBy::With, Some(Origin::new(around.source, text.position))),
            (None, Some(input)) => {
                let at = Some(input.default.position).filter(|at| at.line > 0);
                (GivenBy::Default, at.map(|at| Origin::new(definition, at)))
            }
            (None, None) => (GivenBy::Default, None),
        };
        Variable { name: format!("inputs.{name}"), value, given_by, origin }
    };
    values.into_iter().map(variable).collect()
}

/// Finds the variables that a step names.
struct Finder<'f> {
    origins: Origins<'f>,
    around: Around<'f>,
}

impl Finder<'_> {
    /// The variables of a step's `with`.
    fn given(&self, step: &Step) -> Vec<Variable> {
        let mut found = Vec::new();
        for text in step.with.iter().flat_map(|with| with.values()) {
            self.add(text, &mut found);
        }
        found
    }

    /// The variables of its other texts, without inputs, which are listed separately.
    fn named(&self, step: &Step, definition: Option<&Definition>, own: &[Variable]) -> Vec<Variable> {
        let mut found = Vec::new();
        for step in [Some(step), definition.map(|definition| &definition.step)].into_iter().flatten() {
            for text in [&step.name, &step.runs, &step.working_directory] {
                self.add(text, &mut found);
            }
            let needs = step.needs.iter().flat_map(|needs| &needs.packages);
            for text in needs.chain(step.environment.values()) {
                self.add(text, &mut found);
            }
        }
        found.retain(|variable| !own.contains(variable));
        found
    }

    fn add(&self, text: &str, found: &mut Vec<Variable>) {
        for name in substitute::names(text) {
            if found.iter().any(|known| known.name == name) {
                continue;
            }
            let input = self.around.inputs.iter().rfind(|input| input.name == name);
            let variable = match (input, self.around.scope.look_up(name)) {
                (Some(input), _) => input.clone(),
                (None, Some(value)) => self.origins.variable(name, value, self.around.item),
                (None, None) => continue,
            };
            found.push(variable);
        }
    }
}
