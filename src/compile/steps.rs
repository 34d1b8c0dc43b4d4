//! The steps to run: a package's tree of steps, flattened into the order of execution.

use std::collections::BTreeMap;

use super::recipe::{PackageSteps, Recipe, Run, Step, Test, Unmet};
use crate::{
    exit::Failure,
    manifest::{Map, Text},
};

/// The default directory of steps, to which their own directories are relative.
pub const WORKSPACE: &str = "/home/build";

impl Recipe {
    /// The steps of each package, in order: the main package, then the subpackages whose condition holds.
    ///
    /// A step with a script is a shell, before the steps below it. Steps whose condition does not hold are left out, with all
    /// below them.
    pub fn package_steps(&self) -> Vec<PackageSteps> {
        let main = (&self.package.name, &self.steps);
        let others =
            self.subpackages.iter().filter(|sub| sub.condition.holds()).map(|sub| (&sub.name, &sub.steps));
        std::iter::once(main).chain(others).map(|(name, steps)| flat(name, steps)).collect()
    }

    /// Refuses a build whose `assertions` cannot hold: the number of steps that run is known before the first one runs.
    ///
    /// # Errors
    /// All `assertions` that will not hold (3).
    pub fn check_assertions(&self) -> Result<(), Failure> {
        let unmet: Vec<String> =
            self.package_steps().iter().flat_map(|steps| &steps.unmet).map(ToString::to_string).collect();
        if unmet.is_empty() {
            return Ok(());
        }
        let way_out = "Correct required-steps, or the `if` of the steps below it: kiln plan --explain shows what each \
                       condition became.";
        Err(Failure::build_file(unmet.join("\n"), way_out))
    }

    /// The steps of each package's test, with the test's guest, in the order of [`Recipe::package_steps`].
    pub fn test_steps(&self) -> Vec<(PackageSteps, &Test)> {
        let main = (&self.package.name, &self.test);
        let others =
            self.subpackages.iter().filter(|sub| sub.condition.holds()).map(|sub| (&sub.name, &sub.test));
        std::iter::once(main)
            .chain(others)
            .filter_map(|(name, test)| test.as_ref().map(|test| (flat(name, &test.steps), test)))
            .collect()
    }
}

fn flat(name: &Text, steps: &[Step]) -> PackageSteps {
    let mut package = PackageSteps { package: name.to_string(), runs: Vec::new(), unmet: Vec::new() };
    for step in steps {
        flatten(step, &BTreeMap::new(), &[], &mut package);
    }
    package
}

fn flatten(step: &Step, inherited: &BTreeMap<String, String>, above: &[String], package: &mut PackageSteps) {
    if !step.condition.holds() {
        return;
    }
    let mut environment = inherited.clone();
    environment.extend(strings(&step.environment));
    let mut uses = above.to_vec();
    if !step.uses.is_empty() {
        uses.push(step.uses.to_string());
    }
    if !step.script.trim().is_empty() {
        package.runs.push(Run {
            name: label(step, above),
            script: step.script.to_string(),
            working_directory: absolute(&step.working_directory),
            environment: environment.clone(),
            uses: uses.clone(),
            origin: step.origin.clone(),
            used_at: step.used_at.clone(),
        });
    }
    package.unmet.extend(unmet(step, above));
    for child in &step.steps {
        flatten(child, &environment, &uses, package);
    }
}

/// A step that runs, though not as many of its children as it requires; exactly as many, as in melange.
fn unmet(step: &Step, above: &[String]) -> Option<Unmet> {
    let required = step.assertions.as_ref()?.required_steps;
    let runs = step.steps.iter().filter(|child| child.condition.holds()).count();
    let met = i64::try_from(runs) == Ok(required);
    (!met).then(|| Unmet { origin: step.origin.clone(), step: label(step, above), required, runs })
}

/// A map as plain strings.
fn strings(map: &Map) -> impl Iterator<Item = (String, String)> {
    map.iter().map(|(key, value)| (key.to_string(), value.to_string()))
}

/// How long a label made of a script may be.
const LABEL: usize = 60;

pub(crate) fn label(step: &Step, above: &[String]) -> String {
    let named = [&step.name, &step.uses].into_iter().find(|text| !text.is_empty()).map(ToString::to_string);
    let script = || {
        let line = step.script.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        line.unwrap_or("step").chars().take(LABEL).collect()
    };
    named.or_else(|| above.last().cloned()).unwrap_or_else(script)
}

/// A working directory as Go's `filepath.Join` makes it of the workspace: absolute, without `.` and `..`.
fn absolute(directory: &str) -> String {
    let whole =
        if directory.starts_with('/') { directory.to_owned() } else { format!("{WORKSPACE}/{directory}") };
    if directory.starts_with('/') {
        // melange keeps an absolute one as it is.
        return whole;
    }
    let mut parts = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_directory_lies_below_the_workspace() {
        for (written, meant) in [
            ("", "/home/build"),
            ("src", "/home/build/src"),
            ("./a//b/", "/home/build/a/b"),
            ("../x", "/home/x"),
            ("/opt/x", "/opt/x"),
            ("$(reboot)", "/home/build/$(reboot)"),
        ] {
            assert_eq!(absolute(written), meant, "{written}");
        }
    }
}
