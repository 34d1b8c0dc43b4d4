//! The complete resolver: it finds a valid set of packages whenever there is one.
//!
//! It takes choices back where the greedy one fails. The search is that of the crate resolvo, which learns from conflicts
//! (`provider.rs` tells it the packages); what a valid set is stands in `rules.rs`, and `order.rs` puts the set into the order of
//! installation. The same question has the same answer, and both time and memory are bounded by counted work.

mod order;
mod provider;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display};

use resolvo::{Problem, Solver, UnsolvableOrCancelled};

use super::packages::{Id, Packages};
use order::Order;
use provider::Provider;
use rules::{Pinned, Rules};

/// The most units of work: a candidate that is looked at, or 16 bytes of its lists. The largest sets of Alpine take less than
/// 500,000 of them.
pub(super) const MAX_WORK: u64 = 4_000_000;

/// Why the complete resolver has no set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSet {
    /// There is none.
    Impossible,
    /// None was found with as much work as is allowed.
    TooMuchWork,
}

impl Display for NoSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Impossible => "no set of packages satisfies all requests",
            Self::TooMuchWork => "the search for a set of packages takes too long",
        })
    }
}

/// A valid set for the requests, which are sorted, in order of installation.
///
/// # Errors
/// There is none, or too much work was needed.
pub(super) fn solve<'a>(packages: &Packages<'a>, world: &[&'a str], work: u64) -> Result<Vec<Id>, NoSet> {
    let rules = Rules::new(packages, work);
    let pinned = Pinned::new(&rules, world);
    let provider = Provider::new(&rules, &pinned);
    let requests: Option<Vec<_>> = world.iter().map(|text| provider.request(text)).collect();
    let answer = |set: Option<Vec<Id>>| match set {
        _ if rules.is_exhausted() => Err(NoSet::TooMuchWork),
        Some(set) => Ok(set),
        None => Err(NoSet::Impossible),
    };
    let Some(requests) = requests else { return answer(None) };
    let mut solver = Solver::new(provider);
    let found = match solver.solve(Problem::new().requirements(requests)) {
        Ok(solvables) => solver.provider().packages(&solvables),
        Err(UnsolvableOrCancelled::Unsolvable(_)) => return answer(None),
        Err(UnsolvableOrCancelled::Cancelled(_)) => return Err(NoSet::TooMuchWork),
    };
    let ordered = Order::new(&rules, &pinned, &found).of_requests(world);
    answer(Some(ordered))
}
