//! The candidates of a request, and which of them is the best.

use std::{cmp::Ordering, collections::HashMap};

use super::{
    super::{
        constraint::Constraint,
        version::{Operator, Version},
    },
    error::Cause,
    packages::{Id, Package, Packages},
    state::Solver,
};

/// What is asked for, and the repositories with a tag that may serve it.
pub(super) struct Request<'a> {
    pub(super) constraint: Constraint<'a>,
    /// The tag that the package was asked for with, or the package that needs it; empty if there is none.
    pub(super) allow_tag: &'a str,
    /// The tag that is preferred; empty: packages without one are.
    pub(super) prefer_tag: &'a str,
    /// The package of this name that was chosen before: its tag does not matter.
    pub(super) existing: Option<Id>,
}

impl<'a> Request<'a> {
    /// A request of the user.
    pub(super) fn of_world(constraint: Constraint<'a>) -> Self {
        let prefer_tag = constraint.tag.unwrap_or_default();
        Self { constraint, allow_tag: "", prefer_tag, existing: None }
    }
}

/// The packages that were chosen before, by name, and the versions of their origins.
#[derive(Debug, Clone, Default)]
pub(super) struct Existing<'a> {
    by_name: HashMap<&'a str, Id>,
    /// The names, in the order in which they were added.
    names: Vec<&'a str>,
    origins: HashMap<&'a str, &'a str>,
}

impl<'a> Existing<'a> {
    /// The package of a name.
    pub(super) fn get(&self, name: &str) -> Option<Id> {
        self.by_name.get(name).copied()
    }

    /// Adds a package in place of another one of its name.
    pub(super) fn insert(&mut self, packages: &Packages<'a>, id: Id) {
        let record = packages.get(id).record;
        if self.by_name.insert(record.name, id).is_none() {
            self.names.push(record.name);
        }
        if !record.origin.is_empty() {
            self.origins.insert(record.origin, record.version);
        }
    }

    /// A copy that has the origins of its packages only: not those of packages that others took the place of.
    pub(super) fn with_own_origins(&self, packages: &Packages<'a>) -> Self {
        let mut copy = Self::default();
        for id in self.names.iter().filter_map(|name| self.get(name)) {
            copy.insert(packages, id);
        }
        copy
    }

    /// Adds a package unless there is one of its name.
    pub(super) fn insert_new(&mut self, packages: &Packages<'a>, id: Id) {
        if !self.by_name.contains_key(packages.get(id).record.name) {
            self.insert(packages, id);
        }
    }
}

impl<'a> Solver<'_, 'a> {
    /// The packages that satisfy a request and are not disqualified, at least one.
    ///
    /// A version is satisfied by that of the package, or by that of anything that it provides, whatever its name:
    /// disqualification is what is exact.
    pub(super) fn candidates(&mut self, request: &Request<'a>) -> Result<Vec<Id>, Cause> {
        let found = self.matching(request)?;
        if found.is_empty() { Err(self.why_none(&request.constraint)) } else { Ok(found) }
    }

    /// The packages that satisfy a request and are not disqualified; perhaps none.
    pub(super) fn matching(&mut self, request: &Request<'a>) -> Result<Vec<Id>, Cause> {
        let Constraint { name, operator, .. } = &request.constraint;
        let packages = self.packages;
        let required = match operator {
            Operator::Any => None,
            operator => Some((*operator, request.constraint.parsed_version())),
        };
        let existing = request.existing.map(|id| packages.get(id));
        let mut found = Vec::new();
        for id in packages.providers(name) {
            self.charge(1)?;
            let package = packages.get(id);
            if self.reason(id).is_some() {
                continue;
            }
            let foreign = !package.tag.is_empty()
                && package.tag != request.allow_tag
                && package.tag != request.prefer_tag;
            if foreign && !existing.is_some_and(|existing| existing.is_same_file(package)) {
                continue;
            }
            let fits = match &required {
                None => true,
                // Nothing satisfies an invalid version.
                Some((_, None)) => false,
                Some((operator, Some(required))) => {
                    self.charge(package.record.provides.0.len() / 16)?;
                    satisfies(package, *operator, required)
                }
            };
            if fits {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// The best of the candidates; the first of several that are equally good.
    pub(super) fn best(
        &self,
        candidates: &[Id],
        constraint: &Constraint<'a>,
        existing: &Existing<'a>,
        prefer_tag: &str,
    ) -> Option<Id> {
        let rank = |id: Id| Rank::new(self.packages, id, constraint.name, existing, prefer_tag);
        let (first, others) = candidates.split_first()?;
        let mut best = (*first, rank(*first));
        for id in others {
            let other = rank(*id);
            // The order is not transitive, because a provide without a version ties with all: what is chosen depends on the order
            // of comparisons, which is apko's.
            if other.compare(&best.1) == Ordering::Less {
                best = (*id, other);
            }
        }
        Some(best.0)
    }
}

fn satisfies(package: &Package<'_>, operator: Operator, required: &Version) -> bool {
    let Some(own) = package.version() else { return false };
    operator.holds(own, required)
        || package.record.provides.iter().any(|provide| {
            let version = Constraint::parse(provide).parsed_version();
            version.is_some_and(|version| operator.holds(&version, required))
        })
}

/// What the preference among candidates depends on.
struct Rank<'p, 'a> {
    package: &'p Package<'a>,
    is_existing: bool,
    origin_exists: bool,
    tag_fits: bool,
    /// The version that the package has under the name that was asked for, as text and taken apart; `None` for a provide without
    /// one.
    named: Option<(String, Option<Version>)>,
}

impl<'p, 'a> Rank<'p, 'a> {
    fn new(packages: &'p Packages<'a>, id: Id, name: &str, existing: &Existing<'a>, tag: &str) -> Self {
        let package = packages.get(id);
        let record = package.record;
        let same_version = |other: Id| packages.get(other).record.version == record.version;
        Self {
            package,
            is_existing: existing.get(record.name).is_some_and(same_version),
            origin_exists: !record.origin.is_empty()
                && existing.origins.get(record.origin) == Some(&record.version),
            tag_fits: package.tag == tag,
            named: named_version(package, name),
        }
    }

    /// `Less`: this one is preferred.
    fn compare(&self, other: &Self) -> Ordering {
        let (a, b) = (self.package.record, other.package.record);
        let flags = [
            (self.is_existing, other.is_existing),
            (self.origin_exists, other.origin_exists),
            (self.tag_fits, other.tag_fits),
        ];
        for (mine, others) in flags {
            if mine != others {
                return others.cmp(&mine);
            }
        }
        if let (Some((text, version)), Some((other_text, other_version))) = (&self.named, &other.named)
            && text != other_text
        {
            let order = higher_first(version.as_ref(), other_version.as_ref());
            if order != Ordering::Equal {
                return order;
            }
        }
        let by_version = || match a.version == b.version {
            true => Ordering::Equal,
            false => higher_first(self.package.version(), other.package.version()),
        };
        let same_name = if a.name == b.name { by_version() } else { Ordering::Equal };
        same_name
            .then(b.provider_priority.cmp(&a.provider_priority))
            .then_with(by_version)
            .then_with(|| a.name.cmp(b.name))
    }
}

/// The higher version comes first, and a valid one before an invalid one.
fn higher_first(a: Option<&Version>, b: Option<&Version>) -> Ordering {
    match (a, b) {
        (None, _) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => b.cmp(a),
    }
}

/// The version of a package under a name: its own, or that of its first provide of the name.
fn named_version(package: &Package<'_>, name: &str) -> Option<(String, Option<Version>)> {
    if package.record.name == name {
        return Some((package.record.version.to_owned(), package.version().cloned()));
    }
    let mut provides = package.record.provides.iter().filter(|provide| provide.starts_with(name));
    let provide =
        provides.find_map(|provide| Some(Constraint::parse(provide)).filter(|found| found.name == name))?;
    let version = provide.parsed_version();
    Some((provide.version.into_owned(), version)).filter(|(text, _)| !text.is_empty())
}
