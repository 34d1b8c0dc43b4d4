//! The dependencies of a package, and theirs, depth first: what is needed comes before what needs it.

use std::collections::HashSet;

use super::{
    super::{
        constraint::Constraint,
        version::{Operator, Version},
    },
    candidates::{Existing, Request},
    error::{Cause, Link},
    packages::Id,
    state::Solver,
};

/// A package whose dependencies are being chosen. The frames are a stack of their own: an index may have a chain of dependencies
/// that is longer than a thread's stack.
struct Frame<'a> {
    package: Id,
    /// The dependencies that have no package yet.
    left: Vec<&'a str>,
    /// What the package provides: the texts, and the names in them.
    own: HashSet<&'a str>,
    /// The dependency that the package was chosen for.
    reason: &'a str,
    /// The length of the list when the frame was made: what comes later are its dependencies.
    start: usize,
}

/// Walks the dependencies of `root`. `tag` is that which `root` was asked for with. A package may be in the list several times.
///
/// # Errors
/// The cause, and the packages on the way to it.
pub(super) fn walk<'a>(
    solver: &mut Solver<'_, 'a>,
    root: Id,
    tag: &'a str,
    existing: Existing<'a>,
) -> Result<Vec<Id>, (Cause, Vec<Link>)> {
    let mut walk =
        Walk { solver, tag, existing, frames: Vec::new(), names: HashSet::new(), list: Vec::new() };
    match walk.run(root) {
        Ok(()) => Ok(walk.list),
        Err(cause) => Err((cause, walk.chain())),
    }
}

struct Walk<'w, 'p, 'a> {
    solver: &'w mut Solver<'p, 'a>,
    tag: &'a str,
    existing: Existing<'a>,
    frames: Vec<Frame<'a>>,
    /// The names of the packages in `frames`: one of them is not walked again, so that circles end.
    names: HashSet<&'a str>,
    list: Vec<Id>,
}

impl<'a> Walk<'_, '_, 'a> {
    fn run(&mut self, root: Id) -> Result<(), Cause> {
        self.enter(root, "")?;
        while !self.frames.is_empty() {
            match self.next()? {
                Some((dependency, package)) => {
                    if !self.enter(package, dependency)? {
                        self.list.push(package);
                    }
                }
                None => self.leave()?,
            }
        }
        Ok(())
    }

    /// Starts with the dependencies of a package, unless one of its name is being walked.
    fn enter(&mut self, package: Id, reason: &'a str) -> Result<bool, Cause> {
        let record = self.solver.packages.get(package).record;
        if !self.names.insert(record.name) {
            return Ok(false);
        }
        let mut own = HashSet::new();
        for provide in record.provides.iter() {
            own.insert(provide);
            own.insert(Constraint::name_of(provide));
        }
        let mut seen = HashSet::new();
        let left = record.dependencies.iter().filter(|text| seen.insert(*text)).collect();
        self.frames.push(Frame { package, left, own, reason, start: self.list.len() });
        self.solver.charge(1 + (record.dependencies.0.len() + record.provides.0.len()) / 16)?;
        self.solver.constrain(record.dependencies.iter())?;
        Ok(true)
    }

    /// Ends with the package of the last frame: it comes after its dependencies, and they count as chosen for what follows.
    fn leave(&mut self) -> Result<(), Cause> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        self.names.remove(self.solver.packages.get(frame.package).record.name);
        if self.frames.is_empty() {
            return Ok(());
        }
        let dependencies = self.list.get(frame.start..).unwrap_or_default();
        self.solver.charge(dependencies.len())?;
        for id in dependencies {
            self.existing.insert(self.solver.packages, *id);
        }
        self.list.push(frame.package);
        Ok(())
    }

    /// The next dependency of the last frame, that with the fewest candidates (the first by its text on a tie), and its best candidate.
    fn next(&mut self) -> Result<Option<(&'a str, Id)>, Cause> {
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        let parent = frame.package;
        let left = std::mem::take(&mut frame.left);
        let own = std::mem::take(&mut frame.own);
        let mut unsolved = Vec::new();
        let mut fewest: Option<(Vec<Id>, &'a str)> = None;
        for text in left {
            let found = self.options(parent, &own, text)?;
            let Some(found) = found else { continue };
            unsolved.push(text);
            let is_less = |(least, other): &(Vec<Id>, &str)| (found.len(), text) < (least.len(), *other);
            if fewest.as_ref().is_none_or(is_less) {
                fewest = Some((found, text));
            }
        }
        let Some((found, text)) = fewest else { return Ok(None) };
        unsolved.retain(|other| *other != text);
        if let Some(frame) = self.frames.last_mut() {
            (frame.left, frame.own) = (unsolved, own);
        }
        let constraint = Constraint::parse(text);
        let best = self.solver.best(&found, &constraint, &self.existing, "").ok_or(Cause::NotFound)?;
        self.solver.disqualify_conflicts(best)?;
        self.solver.select(parent)?;
        Ok(Some((text, best)))
    }

    /// The candidates of a dependency; `None` if it is a conflict or satisfied.
    fn options(
        &mut self,
        parent: Id,
        own: &HashSet<&'a str>,
        text: &'a str,
    ) -> Result<Option<Vec<Id>>, Cause> {
        if text.starts_with('!') {
            return Ok(None);
        }
        let constraint = Constraint::parse(text);
        let name = constraint.name;
        if own.contains(name) || own.contains(text) || self.is_parent(parent, &constraint) {
            return Ok(None);
        }
        if let Some(selected) = self.solver.selected.get(name).copied() {
            return self.solver.check_selected(selected, &constraint, text).map(|()| None);
        }
        let existing = self.existing.get(name);
        let request = Request { constraint, allow_tag: self.tag, prefer_tag: "", existing };
        match self.solver.candidates(&request) {
            Ok(found) => Ok(Some(found)),
            Err(cause) => Err(cause.of_dependency(text)),
        }
    }

    /// Whether the package that has the dependency satisfies it by itself.
    fn is_parent(&self, parent: Id, constraint: &Constraint<'a>) -> bool {
        let package = self.solver.packages.get(parent);
        package.record.name == constraint.name
            && package.version().is_some_and(|version| constraint.is_satisfied_by(version))
    }

    fn chain(&self) -> Vec<Link> {
        let link = |frame: &Frame<'a>| Link {
            constraint: frame.reason.to_owned(),
            package: self.solver.packages.get(frame.package).record.file_name(),
        };
        self.frames.iter().map(link).collect()
    }
}

impl<'a> Solver<'_, 'a> {
    /// Notes that a package, and what it provides with a version, is chosen for good.
    fn select(&mut self, package: Id) -> Result<(), Cause> {
        let record = self.packages.get(package).record;
        let conflict = |other: Id, name: &str| Cause::Conflict {
            package: record.file_name(),
            other: self.packages.get(other).record.file_name(),
            name: name.to_owned(),
        };
        match self.selected.get(record.name) {
            Some(other) if *other == package => return Ok(()),
            Some(other) => return Err(conflict(*other, record.name)),
            None => {}
        }
        let mut names = vec![(record.name, true)];
        names.extend(record.provides.iter().map(|provide| {
            let provided = Constraint::parse(provide);
            (provided.name, !provided.version.is_empty())
        }));
        for (name, has_version) in names {
            if let Some(other) = self.selected.get(name) {
                return Err(conflict(*other, name));
            }
            if has_version {
                self.selected.insert(name, package);
            }
        }
        self.charge(1 + record.provides.0.len() / 16)
    }

    /// Whether a package that was selected satisfies a dependency on its name, or on a name that it provides.
    fn check_selected(&mut self, selected: Id, constraint: &Constraint<'a>, text: &str) -> Result<(), Cause> {
        if constraint.version.is_empty() {
            return Ok(());
        }
        let package = self.packages.get(selected);
        let record = package.record;
        self.charge(1 + record.provides.0.len() / 16)?;
        let bad = |constraint: &str| Cause::BadVersion { constraint: constraint.to_owned() };
        let actual = package.version().ok_or_else(|| bad(&format!("{}={}", record.name, record.version)))?;
        let required = constraint.parsed_version().ok_or_else(|| bad(text))?;
        for provide in record.provides.iter() {
            let provided = Constraint::parse(provide);
            if provided.name != constraint.name || provided.version.is_empty() {
                continue;
            }
            let version = Version::parse(&provided.version).ok_or_else(|| bad(provide))?;
            // As in apko, the operator is that of the provide, nearly always `=`.
            if provided.operator.holds(&version, &required) {
                return Ok(());
            }
        }
        if constraint.operator == Operator::Any || constraint.operator.holds(actual, &required) {
            return Ok(());
        }
        Err(Cause::Selected {
            selected: format!("{}={}", record.name, record.version),
            dependency: text.to_owned(),
        })
    }
}
