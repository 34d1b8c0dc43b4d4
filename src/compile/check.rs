//! What melange demands of a build file beyond its types: names, priorities, capabilities, CPE, and what may stand in one step.

use std::collections::HashMap;

use super::faults::Faults;
use crate::manifest::{Capability, Cpe, Dependencies, Package, Position, Source, Step, Subpackage, Text};

/// Capabilities that files may have.
const FILE_CAPABILITIES: [&str; 5] =
    ["cap_net_bind_service", "cap_net_admin", "cap_net_raw", "cap_ipc_lock", "cap_sys_admin"];

/// Checks a file after its first pass.
pub(crate) fn all(
    package: &Package,
    pipeline: &[Step],
    subpackages: &[Subpackage],
    source: &Source,
    faults: &mut Faults,
) {
    let mut check = Check { source, faults };
    check.package(package);
    check.steps(pipeline);
    let mut seen: HashMap<&str, Position> = HashMap::new();
    for subpackage in subpackages {
        let name = &subpackage.name;
        let at = if name.is_empty() { subpackage.at } else { name.position };
        if *name == package.name {
            check.fault(at, format!("the subpackage `{name}` has the name of the main package"));
        } else if let Some(first) = seen.insert(name, at) {
            let message = format!("two subpackages are called `{name}`, the first in line {}", first.line);
            check.fault(at, message);
        }
        check.name("subpackage", name, at);
        check.priorities(&subpackage.dependencies);
        check.steps(&subpackage.pipeline);
    }
}

struct Check<'c> {
    source: &'c Source,
    faults: &'c mut Faults,
}

impl Check<'_> {
    fn fault(&mut self, at: Position, message: impl Into<String>) {
        self.faults.push(self.source.diagnostic(at, message));
    }

    fn package(&mut self, package: &Package) {
        let at = if package.name.is_empty() { package.at } else { package.name.position };
        self.name("package", &package.name, at);
        if package.version.is_empty() {
            self.fault(package.at, "the package has no version");
        }
        self.priorities(&package.dependencies);
        for capability in &package.setcap {
            self.capability(capability);
        }
        self.cpe(&package.cpe, package.at);
    }

    fn name(&mut self, what: &str, name: &Text, at: Position) {
        if name.is_empty() {
            return self.fault(at, format!("a {what} without a name"));
        }
        let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '_' | '.' | '-');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(rest) {
            let fault = self.source.diagnostic(at, format!("invalid {what} name `{name}`"));
            self.faults.push(fault.hint("letters, digits and `+`, `_`, `.`, `-`; a letter or a digit first"));
        }
    }

    fn priorities(&mut self, dependencies: &Dependencies) {
        for priority in [&dependencies.provider_priority, &dependencies.replaces_priority] {
            // Go's Atoi.
            if !priority.is_empty() && priority.parse::<i64>().is_err() {
                self.fault(priority.position, format!("a priority is a whole number, this is `{priority}`"));
            }
        }
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            let with = step.with.as_ref().is_some_and(|with| !with.is_empty());
            if with && step.uses.is_empty() {
                self.fault(step.at, "a step with `with` needs `uses`");
            }
            if !step.uses.is_empty() && !step.runs.is_empty() {
                let message = format!("a step has `uses: {}` or `runs`, not both", step.uses);
                self.fault(step.runs.position, message);
            }
            self.steps(&step.pipeline);
        }
    }

    fn capability(&mut self, capability: &Capability) {
        for names in capability.add.keys() {
            for name in names.split(',').filter(|name| !FILE_CAPABILITIES.contains(name)) {
                let message = format!("invalid capability `{name}` for `{}`", capability.path);
                let fault = self.source.diagnostic(names.position, message);
                self.faults.push(fault.hint(format!("known: {}", FILE_CAPABILITIES.join(", "))));
            }
        }
        if capability.reason.is_empty() {
            self.fault(capability.at, format!("the capabilities of `{}` need a `reason`", capability.path));
        }
    }

    fn cpe(&mut self, cpe: &Cpe, at: Position) {
        if !cpe.part.is_empty() && !matches!(cpe.part.as_str(), "a" | "o") {
            self.fault(cpe.part.position, format!("the part of a CPE is `a` or `o`, this is `{}`", cpe.part));
        }
        if cpe.vendor.is_empty() != cpe.product.is_empty() {
            let at = [&cpe.vendor, &cpe.product]
                .into_iter()
                .find(|text| !text.is_empty())
                .map_or(at, |t| t.position);
            self.fault(at, "a CPE has both a vendor and a product, or neither");
        }
        let Cpe { part: _, vendor, product, edition, language, sw_edition, target_sw, target_hw, other } =
            cpe;
        for field in [vendor, product, edition, language, sw_edition, target_sw, target_hw, other] {
            let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            let rest = |c: char| first(c) || matches!(c, '+' | '_' | '.' | '-');
            let valid = field.is_empty() || field.starts_with(first) && field.chars().all(rest);
            if !valid {
                self.fault(field.position, format!("invalid CPE value `{field}`"));
            }
        }
    }
}
