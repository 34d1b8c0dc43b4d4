//! The order of installation of a valid set, and the packages that join it by `install_if`.

use std::collections::{HashMap, HashSet};

use super::{
    super::{super::constraint::Constraint, install_if, packages::Id},
    rules::{Holds, Pinned, Rules, Tags, excludes},
};

/// A valid set.
pub(super) struct Order<'r, 'p, 'a> {
    rules: &'r Rules<'p, 'a>,
    pinned: &'r Pinned<'a>,
    set: HashSet<Id>,
    /// Who in the set has or provides a name.
    holders: HashMap<&'a str, Vec<(Id, Holds)>>,
}

/// A package whose dependencies are being listed.
struct Frame<'a> {
    package: Id,
    left: Vec<&'a str>,
}

impl<'r, 'p, 'a> Order<'r, 'p, 'a> {
    pub(super) fn new(rules: &'r Rules<'p, 'a>, pinned: &'r Pinned<'a>, set: &[Id]) -> Self {
        let mut this = Self { rules, pinned, set: HashSet::new(), holders: HashMap::new() };
        set.iter().for_each(|id| this.insert(*id));
        this
    }

    fn insert(&mut self, id: Id) {
        self.set.insert(id);
        for (name, holds) in self.rules.held(id) {
            self.holders.entry(name).or_default().push((id, holds));
        }
    }

    /// The packages that the requests lead to, what is needed before what needs it.
    pub(super) fn of_requests(mut self, world: &[&'a str]) -> Vec<Id> {
        let lists: Vec<(Tags, Vec<Id>)> = world
            .iter()
            .filter_map(|text| {
                let tags = self.pinned.of_request(text);
                let package = self.serving(text, tags)?;
                Some((tags, self.with_dependencies(package)))
            })
            .collect();
        // What no request leads to is not installed, and need not be fitted to.
        let reached: Vec<Id> = lists.iter().flat_map(|(_, list)| list).copied().collect();
        (self.set, self.holders) = Default::default();
        for id in &reached {
            if !self.set.contains(id) {
                self.insert(*id);
            }
        }
        let mut order = Vec::new();
        let mut seen = HashSet::new();
        for (tags, mut list) in lists {
            let Some(package) = list.pop() else { continue };
            self.extend(&mut list, tags);
            order.extend(list.into_iter().chain([package]).filter(|id| seen.insert(*id)));
        }
        order
    }

    /// The package of the set that satisfies a request or a dependency, the best of several.
    fn serving(&self, text: &'a str, tags: Tags) -> Option<Id> {
        let preferred = Constraint::parse(text).tag.unwrap_or_default();
        let found = self.rules.candidates(text, self.pinned, tags, preferred);
        found.into_iter().find(|id| self.set.contains(id))
    }

    /// A package after its dependencies. The frames are a stack of their own, since a chain may be longer than a thread's.
    fn with_dependencies(&self, root: Id) -> Vec<Id> {
        let mut seen = HashSet::from([root]);
        let mut frames = vec![self.frame(root)];
        let mut list = Vec::new();
        while let Some(frame) = frames.last_mut() {
            let Some(text) = frame.left.pop() else {
                list.push(frame.package);
                frames.pop();
                continue;
            };
            let tags = self.pinned.of_package(frame.package);
            if self.rules.serves_itself(frame.package, text) {
                continue;
            }
            if let Some(id) = self.serving(text, tags).filter(|id| seen.insert(*id)) {
                frames.push(self.frame(id));
            }
        }
        list
    }

    fn frame(&self, package: Id) -> Frame<'a> {
        let record = self.rules.packages.get(package).record;
        let mut left: Vec<&str> = record.dependencies.iter().filter(|text| !text.starts_with('!')).collect();
        left.sort_unstable_by(|a, b| b.cmp(a));
        left.dedup();
        Frame { package, left }
    }

    /// Adds the packages whose conditions are all in `list`, if the set stays valid with them.
    fn extend(&mut self, list: &mut Vec<Id>, tags: Tags) {
        let packages = self.rules.packages;
        let names = list.iter().map(|id| (packages.get(*id).record.name, *id)).collect();
        let rules = self.rules;
        let mut accepts = |id| {
            let fits = self.set.contains(&id) || self.fits(id, tags);
            if fits && !self.set.contains(&id) {
                self.insert(id);
            }
            fits
        };
        let mut charge = |units| rules.charge(units).then_some(()).ok_or(());
        // Who asked for the set sees that there was too much work.
        let _exhausted = install_if::extend(packages, list, names, &mut charge, &mut accepts);
    }

    fn fits(&self, id: Id, tags: Tags) -> bool {
        let package = self.rules.packages.get(id);
        let needs = |text: &str| match text.strip_prefix('!') {
            Some(conflict) => self.none_satisfies(conflict),
            None => self.rules.serves_itself(id, text) || self.one_satisfies(text),
        };
        self.pinned.serves(package.tag, tags)
            && package.version().is_some()
            && self.rules.held(id).into_iter().all(|(name, holds)| {
                let others = self.holders.get(name).into_iter().flatten();
                others.into_iter().all(|(_, other)| !excludes(holds, *other))
            })
            && package.record.dependencies.iter().all(needs)
            && self.set.iter().all(|other| {
                let dependencies = self.rules.packages.get(*other).record.dependencies;
                let mut conflicts = dependencies.iter().filter_map(|text| text.strip_prefix('!'));
                conflicts.all(|text| !self.rules.serves_itself(id, text))
            })
    }

    fn one_satisfies(&self, text: &str) -> bool {
        let constraint = Constraint::parse(text);
        let mut holders = self.holders.get(constraint.name).into_iter().flatten();
        holders.any(|(id, _)| self.rules.satisfies(*id, &constraint).is_some())
    }

    fn none_satisfies(&self, text: &str) -> bool {
        !self.one_satisfies(text)
    }
}
