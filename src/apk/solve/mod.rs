//! The resolver: which packages a set of requests needs, and in which order they are installed.
//!
//! The rules are apko's, not those of apk-tools, since build files rely on what apko chooses. It is greedy: it takes the request with
//! the fewest candidates first and never takes a choice back. What it chooses excludes other packages, which are *disqualified*.
//!
//! 1. The requests with a version disqualify candidates (`disqualify.rs`).
//! 2. One request after the other is given its best candidate (`candidates.rs`), which disqualifies the candidates that conflict
//!    with it.
//! 3. The dependencies of each request are walked, depth first (`dependencies.rs`).
//! 4. Packages with `install_if` join the dependencies that they name (`install_if.rs`).
//!
//! Where this fails, another choice may have been right: `complete/` finds a set whenever there is one.
//!
//! Before it: indexes, which were verified, and requests of a user or a build file. After it: downloads.

mod candidates;
mod complete;
mod dependencies;
mod disqualify;
mod error;
mod install_if;
mod nearest;
mod packages;
mod state;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

pub use complete::NoSet;
pub use error::{Cause, Link, SolveError};
pub use packages::Repository;

use super::{constraint::Constraint, index::Record};
use candidates::{Existing, Request};
use packages::{Id, Packages};
use state::{MAX_WORK, Solver};

/// A package that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// The place of its repository in the list that was given.
    pub repository: usize,
    /// Its record in the index.
    pub record: &'a Record<'a>,
}

/// Chooses packages for the requests, in order of installation: dependencies come first.
///
/// The order of `world` is of no matter: it is sorted, as apko sorts it. That of `repositories` is: the first of two equal candidates
/// wins. apko sorts the lines of repositories as text.
///
/// # Errors
/// A request that nothing satisfies besides what was chosen before, though another choice might have.
pub fn solve<'a>(
    world: &'a [impl AsRef<str>],
    repositories: &'a [Repository<'a>],
) -> Result<Vec<Chosen<'a>>, SolveError> {
    solve_within(world.iter().map(AsRef::as_ref).collect(), repositories, MAX_WORK)
}

/// Chooses packages for the requests whenever a valid set exists, in order of installation. Newer versions are preferred. It does not
/// choose as apko does: a caller tries [`solve`] first.
///
/// # Errors
/// No set is valid, or none was found with bounded work.
pub fn solve_completely<'a>(
    world: &'a [impl AsRef<str>],
    repositories: &'a [Repository<'a>],
) -> Result<Vec<Chosen<'a>>, NoSet> {
    let packages = Packages::new(repositories);
    let mut world: Vec<&str> = world.iter().map(AsRef::as_ref).collect();
    world.sort_unstable();
    world.dedup();
    let chosen = complete::solve(&packages, &world, complete::MAX_WORK)?;
    Ok(chosen.into_iter().map(|id| chosen_of(&packages, id)).collect())
}

fn chosen_of<'a>(packages: &Packages<'a>, id: Id) -> Chosen<'a> {
    let package = packages.get(id);
    Chosen { repository: package.repository, record: package.record }
}

fn solve_within<'a>(
    mut world: Vec<&'a str>,
    repositories: &'a [Repository<'a>],
    work: u64,
) -> Result<Vec<Chosen<'a>>, SolveError> {
    let packages = Packages::new(repositories);
    let mut solver = Solver::new(&packages, work);
    world.sort_unstable();
    let chosen = solver.solve(&world)?;
    Ok(chosen.into_iter().map(|id| chosen_of(&packages, id)).collect())
}

impl<'a> Solver<'_, 'a> {
    fn solve(&mut self, world: &[&'a str]) -> Result<Vec<Id>, SolveError> {
        self.constrain(world.iter().copied()).map_err(|cause| SolveError::of(cause, "", &[]))?;
        let mut existing = Existing::default();
        self.choose_requested(world, &mut existing)?;
        let mut order = Vec::new();
        let mut installed: HashSet<&'a str> = HashSet::new();
        for &request in world {
            let (package, dependencies) =
                self.with_dependencies(request, existing.with_own_origins(self.packages))?;
            for id in dependencies.into_iter().chain([package]) {
                let name = self.packages.get(id).record.name;
                if installed.insert(name) {
                    order.push(id);
                }
                existing.insert_new(self.packages, id);
            }
        }
        Ok(order)
    }

    /// Gives each request its best candidate, those with the fewest candidates first.
    fn choose_requested(&mut self, world: &[&'a str], existing: &mut Existing<'a>) -> Result<(), SolveError> {
        let mut left: Vec<(&'a str, Request<'a>)> =
            world.iter().map(|text| (*text, Request::of_world(Constraint::parse(text)))).collect();
        while !left.is_empty() {
            let mut next: Option<(usize, Vec<Id>)> = None;
            for (at, (text, request)) in left.iter().enumerate() {
                let found = self.candidates(request).map_err(|cause| SolveError::of(cause, text, &[]))?;
                if next.as_ref().is_none_or(|(_, fewest)| found.len() < fewest.len()) {
                    next = Some((at, found));
                }
            }
            let Some((at, found)) = next else { break };
            let (text, request) = left.remove(at);
            left.retain(|(other, _)| *other != text);
            let best = self.best(&found, &request.constraint, &Existing::default(), request.prefer_tag);
            let Some(best) = best else { break };
            existing.insert(self.packages, best);
            self.disqualify_conflicts(best).map_err(|cause| SolveError::of(cause, text, &[]))?;
        }
        Ok(())
    }

    /// The package that a request gets, and its dependencies without duplicates, in order of installation.
    fn with_dependencies(
        &mut self,
        text: &'a str,
        existing: Existing<'a>,
    ) -> Result<(Id, Vec<Id>), SolveError> {
        let request = Request::of_world(Constraint::parse(text));
        let found = self.candidates(&request).map_err(|cause| SolveError::of(cause, text, &[]))?;
        let best = self.best(&found, &request.constraint, &Existing::default(), request.prefer_tag);
        let package = best.ok_or_else(|| SolveError::of(Cause::NotFound, text, &[]))?;
        let walked = dependencies::walk(self, package, request.prefer_tag, existing);
        let all = walked.map_err(|(cause, chain)| SolveError::of(cause, text, &chain))?;
        let mut names = HashMap::new();
        let mut unique = Vec::new();
        for id in all {
            names.entry(self.packages.get(id).record.name).or_insert_with(|| {
                unique.push(id);
                id
            });
        }
        let packages = self.packages;
        install_if::extend(packages, &mut unique, names, &mut |units| self.charge(units), &mut |_| true)
            .map_err(|cause| SolveError::of(cause, text, &[]))?;
        Ok((package, unique))
    }
}
