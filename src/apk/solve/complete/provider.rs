//! The packages as resolvo sees them.
//!
//! * A solvable is a package, or a *slot*: the right to a name that only one package may have. A package requires its slot of each
//!   name that others hold, too, and resolvo takes one solvable of a name only.
//! * A version set is one solvable, or all of its name but this one. A requirement is the union of its candidates, the best first.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt::Display,
};

use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, DenseIndex, Dependencies, DependencyProvider,
    Interner, KnownDependencies, NameId, Requirement, SolvableId, SolverCache, StringId, VersionSetId,
    VersionSetUnionId,
};

use super::{
    super::{
        super::constraint::Constraint,
        packages::{Id, Packages},
    },
    rules::{Holds, Pinned, Rules, Tags},
};

/// The work of a round of propagation, and the number of rounds after which it is one more: what was learnt from conflicts makes
/// rounds longer, and is never forgotten. With it, a search ends after some seconds.
const ROUND: usize = 40;
const ROUNDS: usize = 32;
/// Why a package is left out; resolvo shows it in its own messages, which are not used.
const UNUSABLE: StringId = StringId(0);

/// The provider. Solvables are numbered as the packages are, and slots follow.
pub(super) struct Provider<'r, 'p, 'a> {
    rules: &'r Rules<'p, 'a>,
    pinned: &'r Pinned<'a>,
    /// For each package the number of its name.
    names: Vec<NameId>,
    /// The packages of each name.
    named: Vec<Vec<SolvableId>>,
    table: RefCell<Table<'a>>,
    rounds: Cell<usize>,
}

/// What is numbered when it is first needed.
#[derive(Default)]
struct Table<'a> {
    /// Whether packages of different names hold a name, and exclude each other.
    contended: HashMap<&'a str, bool>,
    /// The numbers of names of slots, counted from the end of those of packages.
    slot_names: HashMap<&'a str, usize>,
    slots: HashMap<(&'a str, Holder), usize>,
    /// For each slot the number of its name.
    slot_of: Vec<usize>,
    unions: Vec<Vec<VersionSetId>>,
    union_of: HashMap<(&'a str, Tags, &'a str), Requirement>,
}

/// Who has a name: packages called so exclude each other anyway, and those without a version do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Named,
    Package(Id),
    Unversioned,
}

impl<'r, 'p, 'a> Provider<'r, 'p, 'a> {
    pub(super) fn new(rules: &'r Rules<'p, 'a>, pinned: &'r Pinned<'a>) -> Self {
        let mut numbers: HashMap<&'a str, usize> = HashMap::new();
        let mut named: Vec<Vec<SolvableId>> = Vec::new();
        let mut names = Vec::with_capacity(rules.packages.len());
        for id in rules.packages.ids() {
            let next = numbers.len();
            let number = *numbers.entry(rules.packages.get(id).record.name).or_insert(next);
            if number == next {
                named.push(Vec::new());
            }
            if let Some(list) = named.get_mut(number) {
                list.push(solvable(id));
            }
            names.push(NameId::from_index(number));
        }
        Self { rules, pinned, names, named, table: RefCell::default(), rounds: Cell::new(0) }
    }

    /// What a request of the user requires; `None` if nothing satisfies it.
    pub(super) fn request(&self, text: &'a str) -> Option<ConditionalRequirement> {
        let preferred = Constraint::parse(text).tag.unwrap_or_default();
        self.requirement(text, self.pinned.of_request(text), preferred)
    }

    /// The packages among solvables.
    pub(super) fn packages(&self, solvables: &[SolvableId]) -> Vec<Id> {
        let ids: Vec<Id> = self.rules.packages.ids().collect();
        solvables.iter().filter_map(|solvable| ids.get(solvable.to_index()).copied()).collect()
    }

    fn requirement(&self, text: &'a str, tags: Tags, preferred: &'a str) -> Option<ConditionalRequirement> {
        if let Some(known) = self.table.borrow().union_of.get(&(text, tags, preferred)) {
            return Some((*known).into());
        }
        let found = self.rules.candidates(text, self.pinned, tags, preferred);
        let sets: Vec<VersionSetId> = found.into_iter().map(|id| only(solvable(id))).collect();
        let mut table = self.table.borrow_mut();
        let requirement = match sets.as_slice() {
            [] => return None,
            [one] => Requirement::Single(*one),
            [..] => {
                table.unions.push(sets);
                Requirement::Union(VersionSetUnionId::from_index(table.unions.len() - 1))
            }
        };
        table.union_of.insert((text, tags, preferred), requirement);
        Some(requirement.into())
    }

    /// The dependencies of a package; `None` if it can never be installed.
    fn dependencies(&self, id: Id) -> Option<KnownDependencies> {
        let record = self.rules.packages.get(id).record;
        let mut known = KnownDependencies::default();
        for text in record.dependencies.iter() {
            if let Some(conflict) = text.strip_prefix('!') {
                let others = self.rules.excluded(id, conflict);
                known.constrains.extend(others.into_iter().map(|other| all_but(solvable(other))));
            } else if !self.rules.serves_itself(id, text) {
                known.requirements.push(self.requirement(text, self.pinned.of_package(id), "")?);
            }
        }
        for (name, holds) in self.rules.held(id) {
            if self.is_contended(name) {
                let slot = self.slot(name, id, holds);
                known.requirements.push(Requirement::Single(only(slot)).into());
            }
        }
        Some(known)
    }

    fn is_contended(&self, name: &'a str) -> bool {
        if let Some(known) = self.table.borrow().contended.get(name) {
            return *known;
        }
        let is_contended = self.rules.is_contended(name);
        self.table.borrow_mut().contended.insert(name, is_contended);
        is_contended
    }

    fn slot(&self, name: &'a str, id: Id, holds: Holds) -> SolvableId {
        let mut table = self.table.borrow_mut();
        let next = table.slot_names.len();
        let number = *table.slot_names.entry(name).or_insert(next);
        let holder = match holds {
            Holds::Named => Holder::Named,
            Holds::Versioned => Holder::Package(id),
            Holds::Unversioned => Holder::Unversioned,
        };
        let next = table.slot_of.len();
        let slot = *table.slots.entry((name, holder)).or_insert(next);
        if slot == next {
            table.slot_of.push(number);
        }
        SolvableId::from_index(self.names.len() + slot)
    }
}

fn solvable(id: Id) -> SolvableId {
    SolvableId::from_index(Packages::place(id))
}

/// The version set of one solvable.
fn only(solvable: SolvableId) -> VersionSetId {
    VersionSetId::from_index(solvable.to_index() * 2)
}

/// The version set of all solvables of a name but one.
fn all_but(solvable: SolvableId) -> VersionSetId {
    VersionSetId::from_index(solvable.to_index() * 2 + 1)
}

impl Interner for Provider<'_, '_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        solvable.to_index()
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        name.to_index()
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        version_set.to_index()
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        "unusable"
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.solvable_name(SolvableId::from_index(version_set.to_index() / 2))
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        let at = solvable.to_index();
        self.names.get(at).copied().unwrap_or_else(|| {
            let table = self.table.borrow();
            let slot = table.slot_of.get(at - self.names.len()).copied().unwrap_or_default();
            NameId::from_index(self.named.len() + slot)
        })
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.table.borrow().unions.get(union.to_index()).cloned().unwrap_or_default().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        Condition::Requirement(VersionSetId::default())
    }
}

impl DependencyProvider for Provider<'_, '_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let one = SolvableId::from_index(version_set.to_index() / 2);
        if (version_set == only(one)) != inverse {
            return vec![one];
        }
        self.rules.charge(candidates.len());
        candidates.iter().copied().filter(|solvable| *solvable != one).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        // Those of a slot's name are never asked for: its version sets have one solvable.
        let candidates = self.named.get(name.to_index()).cloned().unwrap_or_default();
        self.rules.charge(candidates.len());
        Some(Candidates { candidates, ..Candidates::default() })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {
        // There is one.
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let known = match self.rules.packages.ids().nth(solvable.to_index()) {
            Some(id) => self.dependencies(id),
            None => Some(KnownDependencies::default()),
        };
        known.map_or(Dependencies::Unknown(UNUSABLE), Dependencies::Known)
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        self.rounds.set(self.rounds.get() + 1);
        (!self.rules.charge(ROUND + self.rounds.get() / ROUNDS)).then(|| Box::new(()) as Box<dyn Any>)
    }
}
