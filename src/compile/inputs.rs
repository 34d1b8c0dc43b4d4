//! The inputs of a definition: given values, defaults, required ones, checksums.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    faults::{self, Faults},
    substitute::{self, Scope},
};
use crate::manifest::{Input, Map, Position, Source, Text};

/// A definition's inputs and the values that a step gives to them.
pub(crate) struct Binding<'b> {
    /// The inputs of the definition; empty if the step uses none.
    pub(crate) inputs: &'b BTreeMap<Text, Input>,
    /// The values that the step gives.
    pub(crate) given: &'b Map,
    /// The file of the step, and its place there.
    pub(crate) step: (&'b Source, Position),
    /// The file of the definition.
    pub(crate) definition: &'b Source,
}

/// One value on its way to being resolved.
struct Pending<'b> {
    name: &'b str,
    raw: &'b Text,
    given: bool,
}

impl<'b> Binding<'b> {
    /// The values of all inputs: given values are resolved with the variables of the step, defaults with those of the
    /// definition, and both then with the other inputs.
    pub(crate) fn resolve(&self, caller: &Scope<'_>, faults: &mut Faults) -> BTreeMap<&'b str, String> {
        let mut values = BTreeMap::new();
        let mut pending = self.raw();
        while !pending.is_empty() {
            let before = pending.len();
            pending.retain(|input| match self.value(input, caller, &values) {
                Ok(value) => {
                    values.insert(input.name, value);
                    false
                }
                Err(_) => true,
            });
            if pending.len() == before {
                break;
            }
        }
        self.check(&values, faults);
        for input in pending {
            if !faults.is_full() {
                self.fault(&input, caller, &values, faults);
            }
            // Reported once: texts that use it see an empty value.
            values.insert(input.name, String::new());
        }
        values
    }

    fn raw(&self) -> Vec<Pending<'b>> {
        let given = self
            .given
            .iter()
            .filter(|(name, value)| !value.is_empty() || !self.inputs.contains_key(name.as_str()));
        let given = given.map(|(name, raw)| Pending { name, raw, given: true });
        let default = |(name, input): (&'b Text, &'b Input)| {
            let absent = self.given.get(name.as_str()).is_none_or(|value| value.is_empty());
            absent.then_some(Pending { name, raw: &input.default, given: false })
        };
        given.chain(self.inputs.iter().filter_map(default)).collect()
    }

    fn value<'v>(
        &self,
        input: &Pending<'_>,
        caller: &'v Scope<'_>,
        values: &'v BTreeMap<&str, String>,
    ) -> Result<String, Vec<substitute::Fault>> {
        let counted = |value: &'v String| Cow::from(caller.spend(value));
        // Counted at each try: inputs that wait for each other are tried more than once.
        let resolved = substitute::strict(caller.spend(input.raw), |name| {
            let outside = || caller.look_up(name).map(Cow::from);
            let sibling = name.strip_prefix("inputs.").filter(|name| self.knows(name));
            match sibling {
                None => outside(),
                // `x: ${{inputs.x}}` passes the value of the caller.
                Some(sibling) if input.given || sibling == input.name => {
                    outside().or_else(|| values.get(sibling).map(counted))
                }
                Some(sibling) => values.get(sibling).map(counted),
            }
        })?;
        Ok(resolved.unwrap_or_else(|| input.raw.to_string()))
    }

    fn knows(&self, name: &str) -> bool {
        self.inputs.contains_key(name) || self.given.contains_key(name)
    }

    fn fault(
        &self,
        input: &Pending<'_>,
        caller: &Scope<'_>,
        values: &BTreeMap<&str, String>,
        faults: &mut Faults,
    ) {
        let source = if input.given { self.step.0 } else { self.definition };
        let Err(found) = self.value(input, caller, values) else { return };
        for fault in found {
            let circle = matches!(&fault, substitute::Fault::Undefined { name, .. }
                if name.strip_prefix("inputs.").is_some_and(|name| self.knows(name)));
            let mut diagnostic = faults::reference(source, input.raw, &fault, caller);
            if circle {
                diagnostic.message = format!("the input `{}` is made of itself", input.name);
                diagnostic.hint = None;
            }
            faults.push(diagnostic);
        }
    }

    fn check(&self, values: &BTreeMap<&'b str, String>, faults: &mut Faults) {
        for (name, input) in self.inputs {
            let Some(value) = values.get(name.as_str()) else { continue };
            let at = self.given.get(name.as_str()).map_or(self.step.1, |text| text.position);
            if value.is_empty() {
                if input.required {
                    faults
                        .push(self.step.0.diagnostic(at, format!("the required input `{name}` is missing")));
                }
                continue;
            }
            let Some(digits) = checksum_digits(name) else { continue };
            if value.len() != digits || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let message =
                    format!("the input `{name}` must be {digits} hexadecimal digits, this is `{value}`");
                faults.push(self.step.0.diagnostic(at, message));
            }
        }
    }
}

/// How many digits an input of this name has; `None` if it is not a checksum.
fn checksum_digits(name: &str) -> Option<usize> {
    match name {
        "expected-sha256" => Some(64),
        "expected-sha512" => Some(128),
        "expected-commit" => Some(40),
        _ => None,
    }
}
