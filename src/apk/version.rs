//! Versions of packages: their form and their order, as apko reads them (which is apk's form with at most one suffix of each kind).
//!
//! Before it: texts of indexes and build files. After it: constraints and the resolver. Pure.

use std::cmp::Ordering;

/// The names of suffixes that stand before a release, in their order.
const BEFORE_RELEASE: &[&str] = &["_alpha", "_beta", "_pre", "_rc"];
/// The names of suffixes that stand after a release, in their order.
const AFTER_RELEASE: &[&str] = &["_cvs", "_svn", "_git", "_hg", "_p"];

/// A version, taken apart. Its order is total: fields are compared in the order in which they are declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    numbers: Numbers,
    letter: Option<u8>,
    before: Before,
    after: Option<Suffix>,
    revision: u64,
}

/// The numbers before the first letter or suffix: `1.2.3`. The shorter one of two that agree is the smaller one, as for slices.
type Numbers = Vec<u64>;

/// A suffix: its place in the list of names, and its number (0 if it has none).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Suffix {
    rank: usize,
    number: u64,
}

/// A version without such a suffix is greater than every version with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Before {
    Suffix(Suffix),
    None,
}

impl Version {
    /// Reads a version; `None` if the text is none, or if a number has more than 63 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut numbers = vec![number(&mut rest)?];
        while let Some(after) = rest.strip_prefix('.') {
            rest = after;
            numbers.push(number(&mut rest)?);
        }
        let letter = rest.bytes().next().filter(u8::is_ascii_lowercase);
        if letter.is_some() {
            rest = rest.get(1..)?;
        }
        let before = suffix(&mut rest, BEFORE_RELEASE)?.map_or(Before::None, Before::Suffix);
        let after = suffix(&mut rest, AFTER_RELEASE)?;
        let revision = match rest.strip_prefix("-r") {
            Some(after) => {
                rest = after;
                number(&mut rest)?
            }
            None => 0,
        };
        rest.is_empty().then_some(Self { numbers, letter, before, after, revision })
    }

    /// Whether this version is one of those that `prefix` names (the operator `~`): its numbers start with those of `prefix`; if it
    /// has no more numbers, its other parts equal those that `prefix` has.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        if !self.numbers.starts_with(&prefix.numbers) {
            return false;
        }
        if self.numbers.len() > prefix.numbers.len() {
            return true;
        }
        let letter = prefix.letter.is_none() || self.letter == prefix.letter;
        let before = fits(self.before.suffix(), prefix.before.suffix());
        let after = fits(self.after, prefix.after);
        letter && before && after && (prefix.revision == 0 || self.revision == prefix.revision)
    }
}

impl Before {
    fn suffix(self) -> Option<Suffix> {
        match self {
            Self::Suffix(suffix) => Some(suffix),
            Self::None => None,
        }
    }
}

/// Whether a suffix is the required one. A required suffix without a number, or with 0, fits any number.
fn fits(actual: Option<Suffix>, required: Option<Suffix>) -> bool {
    let Some(required) = required else { return true };
    actual.is_some_and(|actual| {
        actual.rank == required.rank && (required.number == 0 || actual.number == required.number)
    })
}

/// Takes decimal digits, at least one, off the front.
fn number(rest: &mut &str) -> Option<u64> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (text, after) = rest.split_at_checked(digits)?;
    *rest = after;
    // apko reads signed numbers of 64 bits.
    text.parse().ok().filter(|&value| i64::try_from(value).is_ok())
}

/// Takes a suffix of `names` off the front: `Some(None)` if there is none, `None` if its number is too large.
fn suffix(rest: &mut &str, names: &[&str]) -> Option<Option<Suffix>> {
    let found = names.iter().enumerate().find_map(|(rank, name)| Some((rank, rest.strip_prefix(name)?)));
    // `_p` is the beginning of `_pre`, which is of the other list: what follows is no digit then, and the text no version.
    let Some((rank, after)) = found else { return Some(None) };
    *rest = after;
    let number = if after.starts_with(|c: char| c.is_ascii_digit()) { number(rest)? } else { 0 };
    Some(Some(Suffix { rank, number }))
}

/// The relation between the version of a package and that of a constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// No version is required, or the operator is unknown.
    Any,
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `>=`
    GreaterOrEqual,
    /// `<=`
    LessOrEqual,
    /// `~` or `=~`: the required numbers are the first of the actual ones.
    Prefix,
}

impl Operator {
    /// Whether `actual` satisfies "operator `required`".
    pub fn holds(self, actual: &Version, required: &Version) -> bool {
        let order = actual.cmp(required);
        match self {
            Self::Any => true,
            Self::Equal => order == Ordering::Equal,
            Self::Greater => order == Ordering::Greater,
            Self::Less => order == Ordering::Less,
            Self::GreaterOrEqual => order != Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Prefix => actual.starts_with(required),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect(text)
    }

    #[test]
    fn versions_have_one_order() {
        let ascending = [
            "0",
            "0.1",
            "1_alpha",
            "1_alpha2",
            "1_beta",
            "1_pre",
            "1_rc",
            "1_rc1",
            "1_rc1_p1",
            "1",
            "1-r1",
            "1-r10",
            "1_cvs",
            "1_svn",
            "1_git20200101",
            "1_hg",
            "1_p",
            "1_p1",
            "1_p1-r2",
            "1a",
            "1z",
            "1.0",
            "1.0a",
            "1.2",
            "1.10",
            "2_pre1",
            "2",
        ];
        for (at, smaller) in ascending.iter().enumerate() {
            for greater in &ascending[at + 1..] {
                assert!(version(smaller) < version(greater), "{smaller} < {greater}");
            }
        }
    }

    #[test]
    fn equal_versions_may_be_written_differently() {
        for (one, other) in [("1.09", "1.9"), ("1.0", "1.0-r0"), ("1_rc", "1_rc0"), ("01", "1")] {
            assert_eq!(version(one), version(other));
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        let texts = [
            "",
            "a",
            ".1",
            "1.",
            "1..2",
            "1A",
            "1ab",
            "1_foo",
            "1_p1_rc1",
            "1_rc1_rc2",
            "1_p_p",
            "1-r",
            "1-1",
            "1-r1-r2",
            "1 ",
            " 1",
            "1\n",
            "-1",
            "1.é",
            "1_preé",
            "9223372036854775808",
            "1-r99999999999999999999",
            "1_pr1",
        ];
        for text in texts {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
        assert!(Version::parse("9223372036854775807").is_some());
    }

    #[test]
    fn a_prefix_names_versions() {
        for (actual, prefix, expected) in [
            ("1.2.3-r4", "1.2", true),
            ("1.2.3-r4", "1.2.3", true),
            ("1.2.3-r4", "1.2.3-r4", true),
            ("1.2.3-r4", "1.2.3-r5", false),
            ("1.20", "1.2", false),
            ("1.2", "1.2.0", false),
            ("1.2.1-r9", "1.2-r5", true),
            ("1.2b", "1.2", true),
            ("1.2b", "1.2a", false),
            ("1.2_rc1", "1.2_rc", true),
            ("1.2_rc1", "1.2_rc2", false),
            ("1.2_p1", "1.2_git", false),
            ("1.2", "1.2_p", false),
        ] {
            assert_eq!(version(actual).starts_with(&version(prefix)), expected, "{actual} ~ {prefix}");
            assert_eq!(Operator::Prefix.holds(&version(actual), &version(prefix)), expected);
        }
    }

    #[test]
    fn operators_compare() {
        for (operator, expected) in [
            (Operator::Any, [true, true, true]),
            (Operator::Equal, [false, true, false]),
            (Operator::Greater, [false, false, true]),
            (Operator::Less, [true, false, false]),
            (Operator::GreaterOrEqual, [false, true, true]),
            (Operator::LessOrEqual, [true, true, false]),
        ] {
            let got = ["1", "2", "3"].map(|actual| operator.holds(&version(actual), &version("2")));
            assert_eq!(got, expected, "{operator:?}");
        }
    }

    fn any_version() -> impl Strategy<Value = Version> {
        "[0-9]{1,2}(\\.[0-9]{1,2}){0,3}[a-c]?(_(alpha|beta|pre|rc)[0-2]?)?(_(cvs|svn|git|hg|p)[0-2]?)?(-r[0-2])?"
            .prop_map(|text| version(&text))
    }

    proptest! {
        #[test]
        fn the_order_is_total_and_antisymmetric(a in any_version(), b in any_version(), c in any_version()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            prop_assert!(a.starts_with(&a));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,20}|[0-9a-z._-]{0,20}") {
            let _ = Version::parse(&text);
        }
    }
}
