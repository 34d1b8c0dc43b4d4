//! What a package or a user asks for: `name`, `name<op>version`, `name@tag`; and what a package provides: `name`, `name=version`.
//!
//! Before it: texts of indexes and build files. After it: the resolver. Pure: a constraint borrows from its text.

use std::borrow::Cow;

use super::version::{Operator, Version};

/// The characters of operators, which end a name.
const OPERATORS: &[char] = &['=', '>', '<', '~'];

/// The beginning of the names of shared libraries.
const SHARED_LIBRARY: &str = "so:";

/// A constraint on a name. The same form says what a package provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint<'a> {
    /// The name of a package, or of something that packages provide.
    pub name: &'a str,
    /// The relation to `version`.
    pub operator: Operator,
    /// The version as text, which need not be a valid one; empty if none is asked for.
    pub version: Cow<'a, str>,
    /// The tag of the repositories that are wanted: `name@tag`.
    pub tag: Option<&'a str>,
}

impl<'a> Constraint<'a> {
    /// Reads a constraint. A text of no such form is a name as a whole.
    ///
    /// `!` is no part of this form: a caller for which `!name` is a conflict takes it off.
    pub fn parse(text: &'a str) -> Self {
        Self::split(text).unwrap_or(Self {
            name: text,
            operator: Operator::Any,
            version: "".into(),
            tag: None,
        })
    }

    /// The name of a constraint, without the rest of it: what most provides are read for.
    pub fn name_of(text: &'a str) -> &'a str {
        match text.find(|c| c == '@' || OPERATORS.contains(&c)) {
            None => text,
            Some(_) => Self::parse(text).name,
        }
    }

    fn split(text: &'a str) -> Option<Self> {
        let end = text.find(|c| c == '@' || OPERATORS.contains(&c)).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        let (rest, tag) = match rest.split_once('@') {
            Some((rest, tag)) => (rest, Some(tag)),
            None => (rest, None),
        };
        let tag_is_word = |tag: &str| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if name.is_empty() || !tag.is_none_or(tag_is_word) {
            return None;
        }
        if rest.is_empty() {
            return Some(Self { name, operator: Operator::Any, version: "".into(), tag });
        }
        // The operator takes all it can, but leaves a character for the version.
        let (last, _) = rest.char_indices().next_back()?;
        let length = rest.find(|c| !OPERATORS.contains(&c)).unwrap_or(rest.len()).min(last);
        let (operator, version) = rest.split_at_checked(length)?;
        if operator.is_empty() {
            return None;
        }
        let version = match text.strip_prefix(SHARED_LIBRARY) {
            Some(_) if operator.ends_with('=') => shared_library_version(version, tag),
            _ => Cow::Borrowed(version),
        };
        Some(Self { name, operator: Self::operator(operator), version, tag })
    }

    fn operator(text: &str) -> Operator {
        match text {
            "=" => Operator::Equal,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" => Operator::GreaterOrEqual,
            "<=" => Operator::LessOrEqual,
            "~" | "=~" => Operator::Prefix,
            _ => Operator::Any,
        }
    }

    /// The version, taken apart; `None` if there is none or it is invalid.
    pub fn parsed_version(&self) -> Option<Version> {
        Version::parse(&self.version)
    }

    /// Whether a version satisfies this constraint. One without a version is satisfied by each; one with an invalid version by none.
    pub fn is_satisfied_by(&self, version: &Version) -> bool {
        self.operator == Operator::Any
            || self.parsed_version().is_some_and(|required| self.operator.holds(version, &required))
    }
}

/// The version of a shared library. Those with a release (`-rN`), which are versions of packages, sort above those of bare
/// sonames: the latter get `0.` in front.
fn shared_library_version<'a>(version: &'a str, tag: Option<&str>) -> Cow<'a, str> {
    let digits = version.trim_end_matches(|c: char| c.is_ascii_digit());
    // With a tag the text does not end with a release.
    let has_release = tag.is_none() && digits.len() < version.len() && digits.ends_with("-r");
    if has_release { Cow::Borrowed(version) } else { Cow::Owned(format!("0.{version}")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> (&str, Operator, String, Option<&str>) {
        let Constraint { name, operator, version, tag } = Constraint::parse(text);
        (name, operator, version.into_owned(), tag)
    }

    #[test]
    fn each_form_is_read() {
        for (text, name, operator, version, tag) in [
            ("a", "a", Operator::Any, "", None),
            ("a=1", "a", Operator::Equal, "1", None),
            ("a>1", "a", Operator::Greater, "1", None),
            ("a<1", "a", Operator::Less, "1", None),
            ("a>=1-r0", "a", Operator::GreaterOrEqual, "1-r0", None),
            ("a<=1", "a", Operator::LessOrEqual, "1", None),
            ("a~1", "a", Operator::Prefix, "1", None),
            ("a=~1.2", "a", Operator::Prefix, "1.2", None),
            ("a@edge", "a", Operator::Any, "", Some("edge")),
            ("a=1@edge", "a", Operator::Equal, "1", Some("edge")),
            // An unknown operator asks for any version.
            ("a><1", "a", Operator::Any, "1", None),
            ("a==", "a", Operator::Equal, "=", None),
            // These are names as a whole.
            ("a@", "a@", Operator::Any, "", None),
            ("a@b@c", "a@b@c", Operator::Any, "", None),
            ("a=", "a=", Operator::Any, "", None),
            ("a@edge=1", "a@edge=1", Operator::Any, "", None),
            ("=1", "=1", Operator::Any, "", None),
            ("", "", Operator::Any, "", None),
            ("!a", "!a", Operator::Any, "", None),
            ("/bin/sh", "/bin/sh", Operator::Any, "", None),
        ] {
            assert_eq!(parts(text), (name, operator, version.to_owned(), tag), "{text:?}");
        }
    }

    #[test]
    fn a_bare_soname_version_sorts_below_those_with_a_release() {
        for (text, version) in [
            ("so:libz.so.1=1.2", "0.1.2"),
            ("so:libz.so.1=1.2-r0", "1.2-r0"),
            ("so:libz.so.1>=1.2", "0.1.2"),
            ("so:libz.so.1=~1.2", "1.2"),
            ("so:libz.so.1>1.2", "1.2"),
            ("so:libz.so.1=1-r0@edge", "0.1-r0"),
            ("so:libz.so.1", ""),
            ("cmd:x=1", "1"),
        ] {
            assert_eq!(parts(text).2, version, "{text}");
        }
    }

    #[test]
    fn versions_satisfy_constraints() {
        let one = Version::parse("1.0-r0").expect("a version");
        for (text, expected) in
            [("a", true), ("a=1.0", true), ("a<1.0", false), ("a~1", true), ("a=bad", false), ("a><2", true)]
        {
            assert_eq!(Constraint::parse(text).is_satisfied_by(&one), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_never_empty_if_the_text_is_not(text in "\\PC{1,20}|[a-c=<>~@:.0-9]{1,12}|so:[a=<>~@0-9r-]{0,8}") {
            let constraint = Constraint::parse(&text);
            prop_assert!(!constraint.name.is_empty());
            prop_assert!(text.starts_with(constraint.name));
            prop_assert_eq!(Constraint::name_of(&text), constraint.name);
        }
    }
}
