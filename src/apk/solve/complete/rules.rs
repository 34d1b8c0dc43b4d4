//! What a valid set of packages is, as apk checks it when it installs one.
//!
//! * Each request and each dependency is satisfied by a package of the set: by its own name and version, or by what it provides. A
//!   provide without a version satisfies only those who ask for no version.
//! * A name has one package. It has one holder, too: two packages that have or provide it exclude each other, unless both provide it
//!   without a version.
//! * `!name` of a package excludes all others that satisfy `name`.
//! * A package of a repository with a tag serves the requests with that tag, and what these may lead to.

use std::{cell::Cell, cmp::Reverse, collections::HashMap};

use super::super::{
    super::{
        constraint::Constraint,
        version::{Operator, Version},
    },
    packages::{Id, Package, Packages},
};

/// How a package has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Holds {
    /// It is called so.
    Named,
    /// It provides the name with a version.
    Versioned,
    /// It provides the name without a version.
    Unversioned,
}

/// The packages, and the work that may still be done with them.
pub(super) struct Rules<'p, 'a> {
    pub(super) packages: &'p Packages<'a>,
    work: Cell<u64>,
}

/// The tags that a request or a package may be served from: one bit for each tag of the requests.
pub(super) type Tags = u64;

impl<'p, 'a> Rules<'p, 'a> {
    pub(super) fn new(packages: &'p Packages<'a>, work: u64) -> Self {
        Self { packages, work: Cell::new(work) }
    }

    /// Counts work. `false`: there was too much of it, and no answer counts any more.
    pub(super) fn charge(&self, units: usize) -> bool {
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        self.work.set(self.work.get().saturating_sub(units));
        self.work.get() > 0
    }

    /// Whether there was too much work.
    pub(super) fn is_exhausted(&self) -> bool {
        self.work.get() == 0
    }

    /// The version by which a package satisfies a constraint, the highest of several; `Some(None)`: by a provide without one.
    pub(super) fn satisfies(&self, id: Id, constraint: &Constraint<'_>) -> Option<Option<Version>> {
        let package = self.packages.get(id);
        // A package whose version is invalid is never installed.
        let own = package.version()?;
        let required = match constraint.operator {
            Operator::Any => None,
            operator => Some((operator, constraint.parsed_version()?)),
        };
        let holds = |version: Option<&Version>| match (&required, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((operator, required)), Some(version)) => operator.holds(version, required),
        };
        if package.record.name == constraint.name {
            return holds(Some(own)).then(|| Some(own.clone()));
        }
        self.charge(package.record.provides.0.len() / 16);
        let provided = provides_of(package, constraint.name).map(|provide| provide.parsed_version());
        provided.filter(|version| holds(version.as_ref())).max()
    }

    /// The packages that satisfy a constraint, the best first. `tags` are those that may serve it; `preferred` is the one that should,
    /// empty for packages without a tag.
    pub(super) fn candidates(
        &self,
        text: &'a str,
        tags: &Pinned<'a>,
        allowed: Tags,
        preferred: &str,
    ) -> Vec<Id> {
        let constraint = Constraint::parse(text);
        let mut found = Vec::new();
        for id in self.packages.providers(constraint.name) {
            if !self.charge(1) {
                return Vec::new();
            }
            let package = self.packages.get(id);
            if !tags.serves(package.tag, allowed) {
                continue;
            }
            let Some(version) = self.satisfies(id, &constraint) else { continue };
            let record = package.record;
            let own = package.version().cloned();
            let priority = record.provider_priority;
            found.push(((package.tag != preferred, Reverse((version, priority, own)), record.name, id), id));
        }
        found.sort();
        found.dedup_by_key(|(_, id)| *id);
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether a package satisfies its own dependency.
    pub(super) fn serves_itself(&self, id: Id, text: &str) -> bool {
        self.satisfies(id, &Constraint::parse(text)).is_some()
    }

    /// The packages that a package with `!conflict` excludes.
    pub(super) fn excluded(&self, id: Id, conflict: &str) -> Vec<Id> {
        let constraint = Constraint::parse(conflict);
        let others = self.packages.providers(constraint.name).filter(|other| *other != id);
        let others = others.take_while(|_| self.charge(1));
        let mut found: Vec<Id> =
            others.filter(|other| self.satisfies(*other, &constraint).is_some()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether packages of different names hold a name, and some of them exclude each other.
    pub(super) fn is_contended(&self, name: &'a str) -> bool {
        let mut first: Option<&str> = None;
        let (mut several, mut versions) = (false, false);
        for id in self.packages.providers(name).take_while(|_| self.charge(1)) {
            let package = self.packages.get(id);
            let known = *first.get_or_insert(package.record.name);
            several |= known != package.record.name;
            versions |= package.record.name == name
                || provides_of(package, name).any(|provide| !provide.version.is_empty());
            if several && versions {
                return true;
            }
        }
        false
    }

    /// The names that a package has, each once, and how.
    pub(super) fn held(&self, id: Id) -> Vec<(&'a str, Holds)> {
        let record = self.packages.get(id).record;
        let mut names = vec![(record.name, Holds::Named)];
        names.extend(record.provides.iter().map(|text| {
            let Constraint { name, version, .. } = Constraint::parse(text);
            (name, if version.is_empty() { Holds::Unversioned } else { Holds::Versioned })
        }));
        self.charge(names.len());
        names.sort_unstable();
        names.dedup_by_key(|(name, _)| *name);
        names
    }
}

/// What a package provides under a name.
fn provides_of<'a>(package: &Package<'a>, name: &str) -> impl Iterator<Item = Constraint<'a>> {
    let texts = package.record.provides.iter().filter(move |text| text.starts_with(name));
    texts.map(Constraint::parse).filter(move |provide| provide.name == name)
}

/// Whether two packages with a name exclude each other.
pub(super) fn excludes(a: Holds, b: Holds) -> bool {
    (a, b) != (Holds::Unversioned, Holds::Unversioned)
}

/// The tags of the requests, and the packages that each of them may lead to.
pub(super) struct Pinned<'a> {
    tags: Vec<&'a str>,
    reached: HashMap<Id, Tags>,
}

impl<'a> Pinned<'a> {
    /// Follows the dependencies of all candidates of the requests with a tag.
    pub(super) fn new(rules: &Rules<'_, 'a>, world: &[&'a str]) -> Self {
        let mut tags: Vec<&str> = world.iter().filter_map(|text| Constraint::parse(text).tag).collect();
        tags.sort_unstable();
        tags.dedup();
        let mut this = Self { tags, reached: HashMap::new() };
        for text in world {
            let allowed = this.of_request(text);
            if allowed != 0 {
                this.follow(rules, text, allowed);
            }
        }
        this
    }

    fn follow(&mut self, rules: &Rules<'_, 'a>, request: &'a str, allowed: Tags) {
        let mut open = rules.candidates(request, self, allowed, "");
        while let Some(id) = open.pop() {
            let reached = self.reached.entry(id).or_default();
            if *reached & allowed == allowed || !rules.charge(1) {
                continue;
            }
            *reached |= allowed;
            let dependencies = rules.packages.get(id).record.dependencies;
            for text in dependencies.iter().filter(|text| !text.starts_with('!')) {
                open.extend(rules.candidates(text, self, allowed, ""));
            }
        }
    }

    /// The tags that may serve a request.
    pub(super) fn of_request(&self, text: &str) -> Tags {
        Constraint::parse(text).tag.map_or(0, |tag| self.bit(tag))
    }

    /// The tags that may serve the dependencies of a package.
    pub(super) fn of_package(&self, id: Id) -> Tags {
        self.reached.get(&id).copied().unwrap_or(0)
    }

    /// Whether a repository with a tag, empty if it has none, serves whom these tags are allowed to.
    pub(super) fn serves(&self, tag: &str, allowed: Tags) -> bool {
        tag.is_empty() || self.bit(tag) & allowed != 0
    }

    /// More than 64 tags are treated as one.
    fn bit(&self, tag: &str) -> Tags {
        let place = self.tags.iter().position(|known| *known == tag);
        place.map_or(0, |place| 1 << place.min(63))
    }
}
