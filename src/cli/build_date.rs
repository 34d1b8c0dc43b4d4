//! `--build-date`: the time that packages bear.

use std::ops::Range;

use crate::exit::Failure;

/// `--build-date`, in seconds since 1970; an empty one is 1970 itself.
pub(super) fn build_date(text: &str, option: &str) -> Result<i64, Failure> {
    if text.is_empty() {
        return Ok(0);
    }
    rfc3339(text).ok_or_else(|| {
        Failure::usage(format!("{option}: {text:?} is not a time"), "write it as 2026-01-31T12:00:00Z")
    })
}

/// Seconds since the epoch of `YYYY-MM-DDTHH:MM:SS[.frac](Z|±HH:MM)` (RFC 3339 §5.6).
fn rfc3339(text: &str) -> Option<i64> {
    let number = |range: Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let bytes = text.as_bytes();
    let separated = [(4, b"-"), (7, b"-"), (10, b"T"), (13, b":"), (16, b":")];
    if !separated
        .iter()
        .all(|&(at, sign)| bytes.get(at).is_some_and(|b| sign.contains(&b.to_ascii_uppercase())))
    {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let zone = text.get(19..)?;
    let zone =
        zone.strip_prefix('.').map_or(zone, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let offset = offset(zone)?;
    if !(1..=12).contains(&month) {
        return None;
    }
    let next_month = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
    let in_range =
        (1..=next_month - days(year, month, 1)).contains(&day) && hour < 24 && minute < 60 && second < 61;
    in_range.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    Some(sign * (hours.parse::<u16>().ok()? as i64 * 3_600 + minutes.parse::<u16>().ok()? as i64 * 60))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:30:45Z", 951_827_445),
            ("2026-01-31T12:00:00.250+02:00", 1_769_853_600),
            ("1969-12-31T23:59:59z", -1),
        ] {
            assert_eq!(rfc3339(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-12-32T00:00:00Z",
            "2026-01-01 00:00:00",
            "2026-01-01T00:00:00+1",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
