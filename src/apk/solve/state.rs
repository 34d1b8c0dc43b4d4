//! The state of a run: what was chosen, and what must not be chosen any more.

use std::collections::HashMap;

use super::{
    super::constraint::Constraint,
    error::Cause,
    packages::{Id, Packages},
};

/// The most units of work: a candidate that is looked at, or 16 bytes of its lists. The largest sets of Alpine take less than
/// 500,000 of them; an index that was made to take long ends here.
pub(super) const MAX_WORK: u64 = 16_000_000;

/// The most reasons that are shown for one request; an index may have thousands of versions.
const SHOWN_REASONS: usize = 12;

/// Why a package must not be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason<'a> {
    /// Its version is none.
    BadVersion,
    /// Its version does not satisfy this constraint.
    Version(&'a str),
    /// What it provides, the first, does not satisfy the second.
    Provide(&'a str, &'a str),
    /// A package that was chosen conflicts with it: `!name`.
    Excluded(&'a str),
    /// This package was chosen, and provides this name, too.
    Provided(Id, &'a str),
}

/// The state of a run.
pub(super) struct Solver<'p, 'a> {
    pub(super) packages: &'p Packages<'a>,
    /// For each package why it must not be chosen, if so.
    disqualified: Vec<Option<Reason<'a>>>,
    /// The packages whose dependencies were looked at, by their names and by the names that they provide with a version.
    pub(super) selected: HashMap<&'a str, Id>,
    /// The work that is left.
    work: u64,
}

impl<'p, 'a> Solver<'p, 'a> {
    /// Nothing is chosen. `work` is the most that is done.
    pub(super) fn new(packages: &'p Packages<'a>, work: u64) -> Self {
        let disqualified = vec![None; packages.len()];
        Self { packages, disqualified, selected: HashMap::new(), work }
    }

    /// Counts work, so that an index cannot make the resolver run for hours.
    pub(super) fn charge(&mut self, units: usize) -> Result<(), Cause> {
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        self.work = self.work.checked_sub(units).ok_or(Cause::TooMuchWork)?;
        Ok(())
    }

    /// Why a package must not be chosen, if so.
    pub(super) fn reason(&self, id: Id) -> Option<&Reason<'a>> {
        self.disqualified.get(Packages::place(id))?.as_ref()
    }

    /// A package must not be chosen any more.
    pub(super) fn disqualify(&mut self, id: Id, reason: Reason<'a>) {
        if let Some(place) = self.disqualified.get_mut(Packages::place(id)) {
            *place = Some(reason);
        }
    }

    /// Why a constraint has no candidate.
    pub(super) fn why_none(&self, constraint: &Constraint<'a>) -> Cause {
        if !self.packages.is_known(constraint.name) {
            return Cause::nothing_provides(self.packages, constraint.name);
        }
        let all = self.packages.providers(constraint.name);
        let reasons = all.take(SHOWN_REASONS).map(|id| {
            let package = self.packages.get(id);
            let file = package.record.file_name();
            let because = match self.reason(id) {
                Some(reason) => self.because(reason),
                None if !package.tag.is_empty() && constraint.tag != Some(package.tag) => {
                    format!("is in a repository with the tag @{}, which was not asked for", package.tag)
                }
                None => "does not have such a version".to_owned(),
            };
            format!("{file} {because}")
        });
        Cause::Excluded { constraint: constraint.name.to_owned(), reasons: reasons.collect() }
    }

    fn because(&self, reason: &Reason<'a>) -> String {
        match reason {
            Reason::BadVersion => "has an invalid version".to_owned(),
            Reason::Version(constraint) => format!("does not satisfy {constraint:?}"),
            Reason::Provide(provide, constraint) => {
                format!("provides {provide:?}, which does not satisfy {constraint:?}")
            }
            Reason::Excluded(conflict) => {
                format!("is excluded by \"!{conflict}\" of a package that was chosen")
            }
            Reason::Provided(other, name) => {
                let other = self.packages.get(*other).record.file_name();
                format!("provides {name:?}, and so does {other}, which was chosen")
            }
        }
    }
}
