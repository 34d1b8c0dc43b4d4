//! What a benchmark is made of: scenarios, the variants that are compared in them, and the values that are measured.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::backend::BoxFuture;

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The time of a piece of work.
    Seconds,
    /// Throughput of data.
    BytesPerSecond,
    /// Throughput of requests, files or transactions.
    OperationsPerSecond,
}

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
}

/// The prefixes of SI units, each with its factor, the largest first.
const PREFIXES: [(f64, &str); 7] =
    [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")];

impl Unit {
    /// Which of two values is the better one.
    pub fn better(self) -> Better {
        match self {
            Self::Seconds => Better::Lower,
            Self::BytesPerSecond | Self::OperationsPerSecond => Better::Higher,
        }
    }

    /// The symbol without a prefix: `s`, `B/s`, `op/s`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::BytesPerSecond => "B/s",
            Self::OperationsPerSecond => "op/s",
        }
    }

    /// The factor and the symbol of the prefix in which a value has one to three digits before the point. Seconds have no prefix
    /// above one: a thousand seconds are not a kilosecond to a reader.
    pub fn prefix(self, value: f64) -> (f64, &'static str) {
        let usual = PREFIXES.iter().filter(|(factor, _)| self != Self::Seconds || *factor <= 1.0);
        let smallest = PREFIXES[PREFIXES.len() - 1];
        // Rounded to three digits, 999.9 is 1000: it belongs to the next prefix.
        usual.copied().find(|(factor, _)| value.abs() >= factor * 0.9995).unwrap_or(if value == 0.0 {
            (1.0, "")
        } else {
            smallest
        })
    }

    /// A value with three significant digits and the unit: `1.84 s`, `29.1 ms`, `312 MB/s`.
    pub fn format(self, value: f64) -> String {
        if value == 0.0 {
            return format!("0 {}", self.symbol());
        }
        let (factor, prefix) = self.prefix(value);
        format!("{} {prefix}{}", three_digits(value / factor), self.symbol())
    }
}

/// A number with three significant digits, where it has at most three before the point.
pub(super) fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// A piece of work that is measured: a row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A name for programs: lower case, digits and hyphens.
    pub id: String,
    /// A name for people.
    pub title: String,
    /// The chart and the part of the table that it belongs to. All scenarios of a group have the same unit.
    pub group: String,
    /// What its values count.
    pub unit: Unit,
}

/// One of the things that are compared: a column of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// A name for programs: lower case, digits and hyphens.
    pub id: String,
    /// A name for people.
    pub title: String,
    /// Whether the ratios are to this one. At most one variant is the reference.
    pub reference: bool,
}

/// A sample: the value of one variant in one scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The id of the scenario.
    pub scenario: String,
    /// In the unit of the scenario, without a prefix; finite and not below 0.
    pub value: f64,
}

/// One benchmark.
pub trait Suite {
    /// Its name, which is also that of its files: lower case, digits and hyphens.
    fn name(&self) -> &'static str;

    /// What is compared.
    fn variants(&self) -> &[Variant];

    /// What is measured.
    fn scenarios(&self) -> &[Scenario];

    /// Versions of kernels, daemons and tools, and sizes, as name and value: they become part of the fingerprint. No path, no
    /// host name, no user name.
    fn facts(&self) -> Vec<(String, String)>;

    /// How many seconds a visit of each variant takes together: an estimate, which the harness corrects by the warm-up round.
    fn seconds_per_round(&self) -> f64;

    /// Visits a variant once: takes one sample of each scenario that it has.
    ///
    /// `round` 0 is the warm-up. `seed` is the same for all variants of a round, so that random work is the same for all.
    ///
    /// # Errors
    /// When a sample cannot be taken: a sample that failed measures nothing, so it ends the benchmark.
    fn visit<'a>(
        &'a mut self,
        variant: &'a str,
        round: u32,
        seed: u64,
    ) -> BoxFuture<'a, Result<Vec<Measured>>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_a_prefix() {
        for (unit, value, text) in [
            (Unit::Seconds, 1.837, "1.84 s"),
            (Unit::Seconds, 0.0291, "29.1 ms"),
            (Unit::Seconds, 0.99996, "1.00 s"),
            (Unit::Seconds, 0.000_000_2, "0.20 µs"),
            (Unit::Seconds, 4321.0, "4321 s"),
            (Unit::Seconds, 0.0, "0 s"),
            (Unit::BytesPerSecond, 312_400_000.0, "312 MB/s"),
            (Unit::BytesPerSecond, 999_600.0, "1.00 MB/s"),
            (Unit::OperationsPerSecond, 15_432.0, "15.4 kop/s"),
            (Unit::OperationsPerSecond, 9.996, "10.0 op/s"),
        ] {
            assert_eq!(unit.format(value), text, "{unit:?} {value}");
        }
    }

    #[test]
    fn less_time_and_more_throughput_are_better() {
        assert_eq!(Unit::Seconds.better(), Better::Lower);
        assert_eq!(Unit::BytesPerSecond.better(), Better::Higher);
        assert_eq!(Unit::OperationsPerSecond.better(), Better::Higher);
    }
}
