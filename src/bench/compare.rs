//! Two results of the same benchmark: which differences the samples show. Pure.

use serde::Serialize;

use super::{
    document::{Document, Row},
    fingerprint::differences,
    model::{Better, Scenario, Unit},
    statistics::{FEWEST_SAMPLES, Interval, ratio_interval},
};
use crate::exit::Failure;

/// The fact that may differ in silence: two versions of kiln are what is mostly compared.
const KILN: &str = "kiln";

/// What the samples say about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The second is better.
    Faster,
    /// The second is worse.
    Slower,
    /// The interval of the ratio has 1 in it.
    NoDifference,
    /// There are too few samples for a finding.
    TooFewSamples,
}

/// A row that both results have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The title of the scenario.
    pub scenario: String,
    /// Its group.
    pub group: String,
    /// The title of the variant.
    pub variant: String,
    /// The unit of the medians.
    pub unit: Unit,
    /// The median of the first result.
    pub before: f64,
    /// The median of the second result.
    pub after: f64,
    /// The ratio of the second to the first, with its 95 % interval; `None` where the first has a sample of 0.
    pub ratio: Option<Interval>,
    /// What that says.
    pub finding: Finding,
}

/// The whole comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Facts and options that differ: name, first, second.
    pub differences: Vec<(String, String, String)>,
    /// The rows that both have, in the order of the second result.
    pub changes: Vec<Change>,
    /// How many rows only one of them has.
    pub unmatched: usize,
}

impl Comparison {
    /// Compares two results.
    ///
    /// # Errors
    /// A usage failure for results of different benchmarks, or without a common row.
    pub fn new(before: &Document, after: &Document) -> Result<Self, Failure> {
        if before.suite != after.suite {
            return Err(Failure::usage(
                format!("one result is of {}, the other of {}", before.suite, after.suite),
                "name two results of one benchmark",
            ));
        }
        let mut changes = Vec::new();
        for (_, scenarios) in after.groups() {
            for scenario in scenarios {
                changes.extend(changes_of(before, after, scenario));
            }
        }
        if changes.is_empty() {
            return Err(Failure::usage(
                "the two results have no scenario and variant in common",
                "name two results with the same options",
            ));
        }
        let facts = differences(&before.fingerprint.facts, &after.fingerprint.facts);
        let options = differences(&before.options, &after.options);
        let owned = |(name, one, two): (&str, &str, &str)| (name.to_owned(), one.to_owned(), two.to_owned());
        let unmatched = before.results.len() + after.results.len() - 2 * changes.len();
        Ok(Self { differences: facts.into_iter().chain(options).map(owned).collect(), changes, unmatched })
    }

    /// Whether more than kiln's version differs.
    pub fn is_of_two_machines(&self) -> bool {
        self.differences.iter().any(|(name, ..)| name != KILN)
    }

    /// The rows that are slower by more than this many percent, and not by chance.
    pub fn regressions(&self, percent: f64) -> impl Iterator<Item = &Change> {
        let most = 1.0 + percent / 100.0;
        self.changes.iter().filter(move |change| {
            change.finding == Finding::Slower && change.slowdown().is_some_and(|times| times > most)
        })
    }
}

/// The rows of a scenario that both results have.
fn changes_of(before: &Document, after: &Document, scenario: &Scenario) -> Vec<Change> {
    // Another unit under the same id is another scenario.
    let same = |other: &Scenario| other.id == scenario.id && other.unit == scenario.unit;
    if !before.scenarios.iter().any(same) {
        return Vec::new();
    }
    let change = |variant: &super::Variant| {
        let (one, two) = (before.row(&scenario.id, &variant.id)?, after.row(&scenario.id, &variant.id)?);
        let ratio = ratio_interval(&two.samples, &one.samples, after.seed);
        Some(Change {
            scenario: scenario.title.clone(),
            group: scenario.group.clone(),
            variant: variant.title.clone(),
            unit: scenario.unit,
            before: one.quartiles.median,
            after: two.quartiles.median,
            ratio,
            finding: finding(one, two, ratio, scenario.unit),
        })
    };
    after.variants.iter().filter_map(change).collect()
}

fn finding(before: &Row, after: &Row, ratio: Option<Interval>, unit: Unit) -> Finding {
    let Some(ratio) = ratio else { return Finding::NoDifference };
    if before.samples.len().min(after.samples.len()) < FEWEST_SAMPLES {
        return Finding::TooFewSamples;
    }
    if !ratio.shows_difference() {
        return Finding::NoDifference;
    }
    match (unit.better(), ratio.low > 1.0) {
        (Better::Lower, false) | (Better::Higher, true) => Finding::Faster,
        (Better::Lower, true) | (Better::Higher, false) => Finding::Slower,
    }
}

impl Change {
    /// How many times slower the second is; below 1 if it is faster.
    fn slowdown(&self) -> Option<f64> {
        let ratio = self.ratio?.ratio;
        Some(match self.unit.better() {
            Better::Lower => ratio,
            Better::Higher => 1.0 / ratio,
        })
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
