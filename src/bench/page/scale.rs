//! From values to places on an axis. Pure.

use crate::bench::Unit;

/// Medians that differ by more than this factor have a logarithmic axis: else the shorter bars are not to be seen.
const MOST_LINEAR: f64 = 50.0;
/// The most intervals between ticks, so that their labels do not touch.
const MOST_INTERVALS: f64 = 6.0;

/// An axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// From 0 to a round number, with ticks at multiples of the step.
    Linear { most: f64, step: f64 },
    /// From one power of ten to another, with a tick at every so-and-so-many powers.
    Logarithmic { low: i32, high: i32, every: i32 },
}

impl Scale {
    /// For these medians and samples; there is at least one of each.
    pub(super) fn new(medians: &[f64], samples: &[f64]) -> Self {
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let top = most(samples);
        if least(samples) > 0.0 && most(medians) > MOST_LINEAR * least(medians) {
            // The exponents of a document's samples are below 16 in size, so the casts are exact.
            let (low, high) = (least(samples).log10().floor() as i32, top.log10().ceil() as i32);
            let every = ((f64::from(high - low)) / MOST_INTERVALS).ceil().max(1.0) as i32;
            // The last tick is the end of the axis.
            let high = low + (high - low + every - 1) / every * every;
            return Self::Logarithmic { low, high, every };
        }
        let step = if top > 0.0 { round_step(top / MOST_INTERVALS) } else { 1.0 };
        Self::Linear { most: step * (top / step).ceil().max(1.0), step }
    }

    /// The place of a value, from 0 (the beginning of the axis) to 1 (its end).
    pub(super) fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear { most, .. } => value / most,
            Self::Logarithmic { low, high, .. } => (value.log10() - f64::from(low)) / f64::from(high - low),
        }
    }

    /// Values and labels of the ticks, and the unit of the labels: empty where each label has its own.
    pub(super) fn ticks(self, unit: Unit) -> (Vec<(f64, String)>, String) {
        match self {
            Self::Linear { most, step } => {
                let (factor, prefix) = unit.prefix(most);
                let count = (most / step).round() as u32;
                let decimals = decimals(step / factor);
                let tick = |number: u32| {
                    let value = step * f64::from(number);
                    (value, format!("{:.decimals$}", value / factor))
                };
                ((0..=count).map(tick).collect(), format!("{prefix}{}", unit.symbol()))
            }
            Self::Logarithmic { low, high, every } => {
                let tick = |exponent: i32| {
                    let value = 10_f64.powi(exponent);
                    let (factor, prefix) = unit.prefix(value);
                    let number = value / factor;
                    let decimals = decimals(number);
                    (value, format!("{number:.decimals$} {prefix}{}", unit.symbol()))
                };
                let exponents = (low..=high).step_by(every.unsigned_abs() as usize);
                (exponents.map(tick).collect(), String::new())
            }
        }
    }
}

/// The least of 1, 2 and 5, each times a power of ten, that is not below a value above 0.
fn round_step(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// How many decimals a number with one significant digit has.
fn decimals(number: f64) -> usize {
    let digits = (-number.log10() - 1e-9).ceil();
    if digits > 0.0 { digits as usize } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, unit: Unit) -> (Vec<String>, String) {
        let (ticks, unit) = scale.ticks(unit);
        (ticks.into_iter().map(|(_, label)| label).collect(), unit)
    }

    #[test]
    fn a_linear_axis_begins_at_0_and_ends_at_a_round_number() {
        for (top, expected, unit) in [
            (1.84, &["0.0", "0.5", "1.0", "1.5", "2.0"][..], "s"),
            (0.0291, &["0", "5", "10", "15", "20", "25", "30"], "ms"),
            (14.6, &["0", "5", "10", "15"], "s"),
            (60.0, &["0", "10", "20", "30", "40", "50", "60"], "s"),
            (0.0, &["0", "1"], "s"),
        ] {
            let scale = Scale::new(&[top], &[top]);
            let (labels, of) = labels(scale, Unit::Seconds);
            assert_eq!(
                (&labels[..], of.as_str()),
                (&expected.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>()[..], unit)
            );
            assert!(scale.place(top) <= 1.0 && scale.place(0.0) == 0.0, "{top}");
        }
        let scale = Scale::new(&[1.0, 2.0], &[1.0, 2.0]);
        assert_eq!(scale.place(2.0), 2.0 * scale.place(1.0));
    }

    #[test]
    fn medians_that_are_far_apart_have_a_logarithmic_axis() {
        let scale = Scale::new(&[0.002, 3.0], &[0.0015, 0.002, 3.0, 4.0]);
        assert_eq!(scale, Scale::Logarithmic { low: -3, high: 1, every: 1 });
        let (labels, unit) = labels(scale, Unit::Seconds);
        assert_eq!((labels.join(" "), unit), ("1 ms 10 ms 100 ms 1 s 10 s".into(), String::new()));
        assert!((scale.place(0.1) - 0.5).abs() < 1e-9);
        // A sample of 0 has no place on such an axis.
        assert!(matches!(Scale::new(&[0.002, 3.0], &[0.0, 0.002, 3.0]), Scale::Linear { .. }));
        let wide = Scale::new(&[1e-15, 1e15], &[1e-15, 1e15]);
        assert_eq!(wide.ticks(Unit::BytesPerSecond).0.len(), 7);
        assert!(wide.place(1e15) <= 1.0);
    }
}
