//! Scalars of another type than text: booleans and whole numbers, as Go's yaml.v3 reads them.

use super::yaml::{Node, Value};

/// `true`, `false` and the words of YAML 1.1, which yaml.v3 takes where a boolean is wanted, quoted or not.
pub(crate) fn boolean(node: &Node<'_>) -> Option<bool> {
    let Value::Scalar(scalar) = &node.value else { return None };
    match scalar.text.as_ref() {
        "true" | "True" | "TRUE" if scalar.plain => Some(true),
        "false" | "False" | "FALSE" if scalar.plain => Some(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A whole number from 0 on: decimal, `0x`, `0o`, `0b`, a leading 0 for octal, `_` between digits.
pub(crate) fn unsigned(node: &Node<'_>) -> Option<u64> {
    u64::try_from(whole(node)?).ok()
}

/// A whole number.
pub(crate) fn signed(node: &Node<'_>) -> Option<i64> {
    i64::try_from(whole(node)?).ok()
}

fn whole(node: &Node<'_>) -> Option<i128> {
    let Value::Scalar(scalar) = &node.value else { return None };
    if !scalar.plain {
        return None;
    }
    let text = scalar.text.replace('_', "");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let number = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => i128::from_str_radix(&digits[2..], 16),
        Some("0o") => i128::from_str_radix(&digits[2..], 8),
        Some("0b") => i128::from_str_radix(&digits[2..], 2),
        Some(two) if two.starts_with('0') && digits.bytes().all(|byte| (b'0'..b'8').contains(&byte)) => {
            i128::from_str_radix(digits, 8)
        }
        _ => digits.parse(),
    };
    number.ok().map(|number| sign * number)
}
