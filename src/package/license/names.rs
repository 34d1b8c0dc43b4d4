//! Names of licences, as build files have them and as SPDX has them.

use spdx::{Expression, LicenseItem, LicenseReq, ParseMode, imprecise_license_id};

/// Expressions may have names that SPDX has replaced, and names of their own.
const MODE: ParseMode = ParseMode {
    allow_slash_as_or_operator: true,
    allow_imprecise_license_names: true,
    allow_postfix_plus_on_gpl: true,
    allow_deprecated: true,
    allow_unknown: true,
};
/// Endings of names that stand for the same text.
const SAME_TEXT: &[&str] = &["+", "-or-later", "-only", "-no-invariants", "-invariants"];
/// Names that SPDX has replaced, in small letters, with those for the same text.
const REPLACED: &[(&str, &str)] = &[
    ("bsd-2-clause-freebsd", "BSD-2-Clause"),
    ("bsd-2-clause-netbsd", "BSD-2-Clause"),
    ("standardml-nj", "SMLNJ"),
];

/// The licences of an expression; of another text its parts.
pub(super) fn names(expression: &str) -> Vec<String> {
    let plain = |part: &str| match imprecise_license_id(part) {
        Some((id, length)) if length == part.len() => id.name.to_owned(),
        _ => part.to_owned(),
    };
    match Expression::parse_mode(expression, MODE) {
        Ok(parsed) => parsed
            .requirements()
            .map(|one| {
                let LicenseReq { license, .. } = &one.req;
                match license {
                    LicenseItem::Spdx { id, .. } => id.name.to_owned(),
                    other @ LicenseItem::Other(_) => other.to_string(),
                }
            })
            .collect(),
        Err(_) => expression
            .split([' ', '(', ')', '/', ','])
            .filter(|part| !part.is_empty())
            .map(plain)
            .chain([plain(expression)])
            .collect(),
    }
}

/// The name for all licences with the same text: `GPL-2.0` for `GPL-2.0-or-later`.
pub(super) fn family(name: &str) -> String {
    let mut name = name;
    while let Some(shorter) = SAME_TEXT.iter().find_map(|ending| name.strip_suffix(ending)) {
        name = shorter;
    }
    // The replaced names of licences with an exception.
    let name = name.split("-with-").next().unwrap_or(name);
    let replaced = REPLACED.iter().find(|(old, _)| old.eq_ignore_ascii_case(name));
    replaced.map_or(name, |(_, new)| new).to_owned()
}
