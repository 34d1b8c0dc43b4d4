//! Sizes in build files and flags: `4Gi`, `512Mi`, `16G`, `1073741824`.

use serde::Serialize;

use crate::exit::Failure;

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Whole MiB, rounded down.
    pub fn mib(self) -> u64 {
        self.0 >> 20
    }
}

/// The least size. A smaller one is a number whose unit was forgotten (`--memory 4096`).
const SMALLEST: u64 = 1 << 20;

/// Parses a size; `what` names it in the error (`--memory`, `package.resources.disk`).
///
/// Suffixes: `Ki Mi Gi Ti` (powers of 1024), `K M G T` and `KB MB GB TB` (taken as the same, as melange does),
/// none (bytes). A fraction is allowed with a suffix.
///
/// # Errors
/// A usage failure that shows the forms.
pub fn parse_bytes(text: &str, what: &str) -> Result<Bytes, Failure> {
    let error = || {
        Failure::usage(
            format!("{what}: {text:?} is not a size"),
            "write a number with a unit, such as 512Mi or 4Gi",
        )
    };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kb" | "kib" => 1 << 10,
        "m" | "mi" | "mb" | "mib" => 1 << 20,
        "g" | "gi" | "gb" | "gib" => 1 << 30,
        "t" | "ti" | "tb" | "tib" => 1 << 40,
        _ => return Err(error()),
    };
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor).ok_or_else(error)?,
        Err(_) => fraction(number, factor).ok_or_else(error)?,
    };
    if bytes < SMALLEST {
        let what = format!("{what}: {text:?} is less than 1Mi, the least that makes sense");
        return Err(Failure::usage(what, "write a number with a unit, such as 512Mi or 4Gi"));
    }
    Ok(Bytes(bytes))
}

/// `1.5` of `factor`, rounded down to a byte.
fn fraction(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.')?;
    if part.is_empty() || part.len() > 9 || whole.is_empty() {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let digits: u128 = format!("{whole}{part}").parse().ok()?;
    u64::try_from(digits.checked_mul(u128::from(factor))? / scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_with_and_without_units() {
        for (text, bytes) in [
            ("4Gi", 4 << 30),
            ("512Mi", 512 << 20),
            ("16G", 16 << 30),
            ("1.5Gi", 3 << 29),
            ("1073741824", 1 << 30),
            ("2Ti", 2 << 40),
            (" 64 GB ", 64 << 30),
        ] {
            assert_eq!(parse_bytes(text, "--memory"), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_invalid_and_tiny_sizes_and_names_the_flag() {
        for text in ["", "Gi", "4X", "-1Gi", "1.Gi", "99999999999Ti", "1e3Gi", "."] {
            let failure = parse_bytes(text, "--disk").expect_err(text);
            assert_eq!(failure.what, format!("--disk: {text:?} is not a size"));
        }
        for text in ["4096", "1Ki", "0"] {
            let failure = parse_bytes(text, "--disk").expect_err(text);
            assert_eq!(
                failure.what,
                format!("--disk: {text:?} is less than 1Mi, the least that makes sense")
            );
        }
    }
}
