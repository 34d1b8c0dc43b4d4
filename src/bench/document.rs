//! The result of a benchmark as JSON (`kiln-bench/1`): written by a run, read back for `kiln bench compare`.
//!
//! A document that is read may be from anywhere: it has bounds, and what can be computed from its raw samples is computed anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{
    fingerprint::Fingerprint,
    harness::Run,
    model::{Scenario, Suite, Variant},
    statistics::{Interval, Quartiles, quartiles, ratio_interval},
};
use crate::{
    exit::Failure,
    files::{Durability, write_atomically},
    input,
};

/// The name and version of the form.
pub const SCHEMA: &str = "kiln-bench/1";
/// The most bytes of a document.
pub const MOST_BYTES: usize = 16 << 20;
/// The most variants, and the most facts or options.
const MOST_NAMES: usize = 200;
/// The most scenarios.
const MOST_SCENARIOS: usize = 1000;
/// The most samples of one variant in one scenario.
const MOST_SAMPLES: usize = 10_000;
/// The most characters of an id, title, name or value.
const MOST_CHARACTERS: usize = 300;

/// A whole result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// The name of the benchmark.
    pub suite: String,
    /// The seed of the orders and of the intervals.
    pub seed: u64,
    /// What the user chose, as name and value.
    pub options: Vec<(String, String)>,
    /// The machine.
    pub fingerprint: Fingerprint,
    /// What was compared.
    pub variants: Vec<Variant>,
    /// What was measured.
    pub scenarios: Vec<Scenario>,
    /// A row for each variant of each scenario, in the order of scenarios and then of variants.
    pub results: Vec<Row>,
}

/// One variant in one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The id of the scenario.
    pub scenario: String,
    /// The id of the variant.
    pub variant: String,
    /// The raw samples in the order in which they were taken: at least one. In the unit of the scenario, without a prefix.
    pub samples: Vec<f64>,
    /// Their median and spread.
    pub quartiles: Quartiles,
    /// The ratio to the reference, with its 95 % interval; `None` for the reference itself, and where there is none.
    pub ratio: Option<Interval>,
}

impl Document {
    /// The result of a run.
    pub fn new(suite: &dyn Suite, run: &Run) -> Self {
        let mut document = Self {
            schema: SCHEMA.into(),
            suite: suite.name().into(),
            seed: run.seed,
            options: run.options.clone(),
            fingerprint: run.fingerprint.clone(),
            variants: suite.variants().to_vec(),
            scenarios: suite.scenarios().to_vec(),
            results: Vec::new(),
        };
        let mut samples: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
        for (scenario, variant, value) in &run.samples {
            samples.entry((scenario, variant)).or_default().push(*value);
        }
        for scenario in &document.scenarios {
            for variant in &document.variants {
                if let Some(samples) = samples.remove(&(scenario.id.as_str(), variant.id.as_str())) {
                    document.results.extend(Row::new(scenario, variant, samples));
                }
            }
        }
        document.compute();
        document
    }

    /// The row of a variant in a scenario, if it was measured.
    pub fn row(&self, scenario: &str, variant: &str) -> Option<&Row> {
        self.results.iter().find(|row| row.scenario == scenario && row.variant == variant)
    }

    /// The groups of the scenarios, in the order of their first ones, each with its scenarios. A scenario without a sample is left out.
    pub fn groups(&self) -> Vec<(&str, Vec<&Scenario>)> {
        let mut groups: Vec<(&str, Vec<&Scenario>)> = Vec::new();
        let measured: BTreeSet<&str> = self.results.iter().map(|row| row.scenario.as_str()).collect();
        for scenario in self.scenarios.iter().filter(|scenario| measured.contains(scenario.id.as_str())) {
            match groups.iter_mut().find(|(name, _)| *name == scenario.group) {
                Some((_, of_group)) => of_group.push(scenario),
                None => groups.push((&scenario.group, vec![scenario])),
            }
        }
        groups
    }

    /// Computes medians and ratios from the raw samples.
    fn compute(&mut self) {
        let reference = self.variants.iter().find(|variant| variant.reference);
        let reference = reference.map(|variant| variant.id.clone()).unwrap_or_default();
        let of_reference: BTreeMap<String, Vec<f64>> = self
            .results
            .iter()
            .filter(|row| row.variant == reference)
            .map(|row| (row.scenario.clone(), row.samples.clone()))
            .collect();
        for row in &mut self.results {
            if let Some(quartiles) = quartiles(&row.samples) {
                row.quartiles = quartiles;
            }
            let other = of_reference.get(&row.scenario).filter(|_| row.variant != reference);
            row.ratio = other.and_then(|other| ratio_interval(&row.samples, other, self.seed));
        }
    }

    /// Writes the document whole, and durably.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("write a result as JSON")? + "\n";
        write_atomically(path, text.as_bytes(), Durability::ContentAndName)
    }

    /// Reads a document that the user names.
    ///
    /// # Errors
    /// A usage failure when the file cannot be read, is too large, or is no result of `kiln bench`.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = input::read(path, MOST_BYTES).map_err(|error| refused(path, &error.to_string()))?;
        Ok(Self::parse(&bytes).map_err(|why| refused(path, &why))?)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MOST_BYTES {
            return Err(format!("it has more than {} MiB", MOST_BYTES >> 20));
        }
        let Schema { schema } = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is no JSON document with a schema: {error}"))?;
        if schema != SCHEMA {
            let schema: String = schema.chars().take(MOST_CHARACTERS).collect();
            return Err(format!("its schema is {schema:?}, not {SCHEMA:?}"));
        }
        let mut document: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("it is not as {SCHEMA} is: {error}"))?;
        document.check()?;
        document.compute();
        Ok(document)
    }

    /// The bounds, and that rows have known names and samples that can be compared.
    fn check(&self) -> Result<(), String> {
        let Self { schema: _, suite, seed: _, options, fingerprint, variants, scenarios, results } = self;
        let counts = [
            (options.len(), MOST_NAMES, "options"),
            (fingerprint.facts.len(), MOST_NAMES, "facts"),
            (variants.len(), MOST_NAMES, "variants"),
            (scenarios.len(), MOST_SCENARIOS, "scenarios"),
        ];
        for (count, most, what) in counts {
            if count > most {
                return Err(format!("it has {count} {what}, more than {most}"));
            }
        }
        let pairs = options.iter().chain(&fingerprint.facts).flat_map(|(name, value)| [name, value]);
        let of_variants = variants.iter().flat_map(|variant| [&variant.id, &variant.title]);
        let of_scenarios =
            scenarios.iter().flat_map(|scenario| [&scenario.id, &scenario.title, &scenario.group]);
        for text in pairs.chain(of_variants).chain(of_scenarios).chain([suite]) {
            if text.chars().count() > MOST_CHARACTERS {
                return Err(format!("it has a name or value with more than {MOST_CHARACTERS} characters"));
            }
        }
        let variants = unique(variants.iter().map(|variant| variant.id.as_str()), "variant")?;
        let scenarios = unique(scenarios.iter().map(|scenario| scenario.id.as_str()), "scenario")?;
        if self.variants.iter().filter(|variant| variant.reference).count() > 1 {
            return Err("it has more than one reference".into());
        }
        let mut seen = BTreeSet::new();
        for row in results {
            let names = (row.scenario.as_str(), row.variant.as_str());
            if !scenarios.contains(names.0) || !variants.contains(names.1) || !seen.insert(names) {
                return Err("it has a row of an unknown scenario or variant, or two of the same".into());
            }
            row.check()?;
        }
        self.check_units()
    }

    /// A chart has one axis.
    fn check_units(&self) -> Result<(), String> {
        let mut units = BTreeMap::new();
        for Scenario { group, unit, .. } in &self.scenarios {
            if units.insert(group, unit).is_some_and(|other| other != unit) {
                return Err(format!("the group {group:?} has more than one unit"));
            }
        }
        Ok(())
    }
}

impl Row {
    /// Without a ratio yet; `None` without samples.
    fn new(scenario: &Scenario, variant: &Variant, samples: Vec<f64>) -> Option<Self> {
        let (scenario, variant) = (scenario.id.clone(), variant.id.clone());
        Some(Self { scenario, variant, quartiles: quartiles(&samples)?, samples, ratio: None })
    }

    fn check(&self) -> Result<(), String> {
        if self.samples.is_empty() || self.samples.len() > MOST_SAMPLES {
            let count = self.samples.len();
            return Err(format!("a row has {count} samples, not 1 to {MOST_SAMPLES}"));
        }
        // No time or throughput of a machine is outside, and sums and ratios stay finite.
        let is_usable = |sample: &f64| *sample == 0.0 || (1e-15..=1e15).contains(sample);
        if !self.samples.iter().all(is_usable) {
            return Err("a sample is neither 0 nor between 1e-15 and 1e15".into());
        }
        Ok(())
    }
}

/// The part of a document that says what the rest is.
#[derive(Deserialize)]
struct Schema {
    schema: String,
}

fn unique<'a>(ids: impl Iterator<Item = &'a str>, what: &str) -> Result<BTreeSet<&'a str>, String> {
    let mut all = BTreeSet::new();
    for id in ids {
        if !all.insert(id) {
            return Err(format!("it has two {what}s with the id {id:?}"));
        }
    }
    Ok(all)
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::usage(
        format!("{} cannot be compared: {why}", path.display()),
        "name files that `kiln bench` of this version has written",
    )
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
