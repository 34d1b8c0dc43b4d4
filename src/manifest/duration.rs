//! Durations as Go writes them: `90s`, `1h30m`, `1.5h`, `250ms`; a bare whole number is nanoseconds.

use std::time::Duration;

use super::{
    scalar,
    walk::{Read, Report},
    yaml::Node,
};

/// A duration of the build file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Go(pub(super) Duration);

impl Read for Go {
    const EXPECTED: &'static str = "a duration such as `90s` or `1h30m`";

    fn read(node: &Node<'_>, _: &mut Report<'_>) -> Option<Self> {
        if let Some(nanoseconds) = scalar::unsigned(node) {
            return Some(Self(Duration::from_nanos(nanoseconds)));
        }
        parse(&node.text()?).map(Self)
    }
}

/// Go's `time.ParseDuration`, without negative durations: no time-out is below zero.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|&end| end > 0)?;
        let (amount, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit);
        total = total.checked_add(nanoseconds(amount, unit)?)?;
        rest = next;
    }
    // Go counts in an i64.
    i64::try_from(total).ok().map(|total| Duration::from_nanos(total.unsigned_abs()))
}

fn nanoseconds(amount: &str, unit: &str) -> Option<u128> {
    let unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    // Nine digits hold a nanosecond of an hour and are less than any unit: more are dropped.
    let digits: String = fraction.chars().take(15).collect();
    let part: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let scale = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    Some(whole * unit + part * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, wanted) in [
            ("90s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0", Some(0)),
            (".5s", Some(500)),
            ("1m0.5s", Some(60_500)),
            ("", None),
            ("5", None),
            ("90", None),
            ("1e9s", None),
            ("1.5s", Some(1_500)),
            ("s", None),
            ("1d", None),
            ("-1s", None),
            ("1..5s", None),
            (".s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(parse(text), wanted.map(Duration::from_millis), "{text}");
        }
    }
}
