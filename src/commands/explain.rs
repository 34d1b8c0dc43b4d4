//! `kiln plan --explain`: an explanation as text. Pure.

use std::fmt::Write;

use crate::{
    compile::explain::{Decision, ExplainedPackage, ExplainedStep, Explanation, GivenBy, Variable},
    report,
};

/// The number of spaces before the lines of a nested part.
const INDENT: usize = 2;

/// The explanation as text for people.
pub fn describe(explanation: &Explanation) -> String {
    let Explanation { package, arch, variables, packages } = explanation;
    let mut page = Page { text: format!("explained    {package} for {arch}\n"), indent: 0 };
    page.line("");
    page.line("variables that every step can name:");
    page.within(|page| page.variables(variables));
    for package in packages {
        page.package(package);
    }
    page.line("");
    page.text
}

struct Page {
    text: String,
    indent: usize,
}

impl Page {
    fn line(&mut self, line: &str) {
        let indent = if line.is_empty() { 0 } else { self.indent };
        writeln!(self.text, "{:indent$}{}", "", report::one_line(line)).expect("writing to a string");
    }

    fn within(&mut self, inner: impl FnOnce(&mut Self)) {
        self.indent += INDENT;
        inner(self);
        self.indent -= INDENT;
    }

    fn package(&mut self, package: &ExplainedPackage) {
        let ExplainedPackage { name, origin, condition, variables, steps } = package;
        let dropped = condition.as_ref().is_some_and(|condition| !condition.holds);
        self.line("");
        self.line(&format!("package {name}, {origin}{}", if dropped { ": dropped" } else { "" }));
        self.within(|page| {
            page.condition(condition.as_ref());
            page.variables(variables);
            for step in steps {
                page.step(step);
            }
        });
    }

    fn step(&mut self, step: &ExplainedStep) {
        let ExplainedStep { name, origin, definition, through, condition, .. } = step;
        let state = match (step.index, step.runs) {
            (Some(index), _) => format!("step {index}"),
            (None, true) => "steps".into(),
            (None, false) => "not run".into(),
        };
        let name = if name.is_empty() { "(without a name)" } else { name };
        self.line(&format!("{state}: {name}, {origin}"));
        self.within(|page| {
            if !through.is_empty() {
                page.line(&format!("through {}", through.join(" > ")));
            }
            if let Some((uses, file)) = definition {
                page.line(&format!("uses {uses}, {file}"));
            }
            page.condition(condition.as_ref());
            if let Some((required, run)) = step.required {
                page.line(&format!("required-steps {required}: {run} of the steps below would run"));
            }
            page.list("inputs", &step.inputs);
            page.list("given from", &step.given_from);
            page.list("named", &step.variables);
            for child in &step.steps {
                page.step(child);
            }
        });
    }

    fn condition(&mut self, condition: Option<&Decision>) {
        let Some(Decision { written, compared, holds, variables, origin }) = condition else { return };
        self.line(&format!("if {}, {origin}", shown(written)));
        self.within(|page| {
            page.line(&format!("{} is {holds}", shown(compared)));
            page.variables(variables);
        });
    }

    fn list(&mut self, title: &str, variables: &[Variable]) {
        if !variables.is_empty() {
            self.line(&format!("{title}:"));
            self.within(|page| page.variables(variables));
        }
    }

    /// In columns. A very long value does not widen its column.
    fn variables(&mut self, variables: &[Variable]) {
        const WIDEST: usize = 40;
        let values: Vec<String> = variables.iter().map(|variable| shown(&variable.value)).collect();
        let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0).min(WIDEST);
        let names = widest(&mut variables.iter().map(|variable| variable.name.chars().count()));
        let width = widest(&mut values.iter().map(|value| value.chars().count()).filter(|it| *it <= WIDEST));
        for (variable, value) in variables.iter().zip(values) {
            let origin = variable.origin.as_ref().map_or(String::new(), |origin| format!(", {origin}"));
            let name = &variable.name;
            self.line(&format!("{name:names$} = {value:width$}  ({}{origin})", giver(&variable.given_by)));
        }
    }
}

fn giver(given_by: &GivenBy) -> String {
    match given_by {
        GivenBy::BuiltIn => "built in".into(),
        GivenBy::Package => "package".into(),
        GivenBy::Vars => "vars".into(),
        GivenBy::VarsFile => "--vars-file".into(),
        GivenBy::Transform => "var-transforms".into(),
        GivenBy::BuildOption(name) => format!("--build-option {name}"),
        GivenBy::Options => "options, not switched on".into(),
        GivenBy::Range(table) => format!("range over {table}"),
        GivenBy::With => "with".into(),
        GivenBy::Default => "default".into(),
    }
}

/// A text on one line: as it is where that is plain to see, else in quotes and escaped.
fn shown(value: &str) -> String {
    let plain = !value.is_empty() && value.trim() == value && !value.contains(char::is_control);
    if plain { value.to_owned() } else { format!("{value:?}") }
}
