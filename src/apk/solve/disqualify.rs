//! Packages that must not be chosen any more, and why.

use super::{
    super::{constraint::Constraint, version::Operator},
    candidates::Request,
    error::Cause,
    packages::Id,
    state::{Reason, Solver},
};

impl<'a> Solver<'_, 'a> {
    /// Disqualifies what does not satisfy constraints with a version, and what the conflicts (`!name`) among them name.
    pub(super) fn constrain(&mut self, constraints: impl Iterator<Item = &'a str>) -> Result<(), Cause> {
        for text in constraints {
            if let Some(conflict) = text.strip_prefix('!') {
                self.exclude(conflict)?;
                continue;
            }
            let constraint = Constraint::parse(text);
            if constraint.operator == Operator::Any || !self.packages.is_known(constraint.name) {
                continue;
            }
            let Some(required) = constraint.parsed_version() else {
                return Err(Cause::BadVersion { constraint: text.to_owned() });
            };
            let packages = self.packages;
            for id in packages.providers(constraint.name) {
                let package = packages.get(id);
                if package.record.name == constraint.name {
                    self.charge(1)?;
                    match package.version() {
                        None => self.disqualify(id, Reason::BadVersion),
                        Some(version) if !constraint.operator.holds(version, &required) => {
                            self.disqualify(id, Reason::Version(text));
                        }
                        Some(_) => {}
                    }
                    continue;
                }
                self.charge(1 + package.record.provides.0.len() / 16)?;
                for provide in package.record.provides.iter() {
                    let provided = Constraint::parse(provide);
                    // A provide without a version satisfies no version, and does not disqualify its package either.
                    if provided.name != constraint.name || provided.version.is_empty() {
                        continue;
                    }
                    let version = provided.parsed_version();
                    if !version.is_some_and(|version| constraint.operator.holds(&version, &required)) {
                        self.disqualify(id, Reason::Provide(provide, text));
                    }
                }
            }
        }
        Ok(())
    }

    /// Disqualifies what a conflict names.
    fn exclude(&mut self, conflict: &'a str) -> Result<(), Cause> {
        let request = Request::of_world(Constraint::parse(conflict));
        for id in self.matching(&request)? {
            self.disqualify(id, Reason::Excluded(conflict));
        }
        Ok(())
    }

    /// Disqualifies what conflicts with a package that was chosen: all others that have or provide a name that it provides with a
    /// version. A name that it provides without a version may be provided by others without one.
    pub(super) fn disqualify_conflicts(&mut self, chosen: Id) -> Result<(), Cause> {
        let packages = self.packages;
        for provide in packages.get(chosen).record.provides.iter() {
            let provided = Constraint::parse(provide);
            for id in packages.providers(provided.name) {
                self.charge(1)?;
                if id == chosen || self.reason(id).is_some() {
                    continue;
                }
                if provided.version.is_empty() && !self.has_version_of(id, provided.name)? {
                    continue;
                }
                self.disqualify(id, Reason::Provided(chosen, provided.name));
            }
        }
        Ok(())
    }

    /// Whether a package has a version under a name: because it is named so, or because its first provide of the name has one.
    fn has_version_of(&mut self, id: Id, name: &str) -> Result<bool, Cause> {
        let record = self.packages.get(id).record;
        if record.name == name {
            return Ok(!record.version.is_empty());
        }
        self.charge(record.provides.0.len() / 16)?;
        let mut provides = record.provides.iter().map(Constraint::parse);
        Ok(provides
            .find(|provided| provided.name == name)
            .is_some_and(|provided| !provided.version.is_empty()))
    }
}
