//! A scalar of the build file: its raw text and its place.
//!
//! Every section keeps its scalars as [`Text`], so that an error found long after parsing (an unknown variable, a shell syntax
//! error) still points at the line. Two texts are equal when their values are; positions never count.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

use serde::{Serialize, Serializer};

/// A place in a file; 0 is nowhere (a value made by kiln).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// How a scalar was written, as far as it matters for finding a place inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// On its own line: plain or quoted.
    #[default]
    Flow,
    /// `|`: each line of the value is a line of the file; the place is that of the first one.
    Literal,
    /// `>`: lines are joined.
    Folded,
}

/// A map of the build file, sorted by key as melange prints it.
pub type Map = BTreeMap<Text, Text>;

/// The raw text of a scalar (`1.10` stays `1.10`) and where it was written.
#[derive(Debug, Clone, Default)]
pub struct Text {
    value: String,
    /// Where it starts.
    pub position: Position,
    /// How it was written.
    pub layout: Layout,
}

impl Text {
    /// A text with its place.
    pub fn new(value: impl Into<String>, position: Position, layout: Layout) -> Self {
        Self { value: value.into(), position, layout }
    }

    /// Another value at the same place.
    #[must_use]
    pub fn with_value(&self, value: impl Into<String>) -> Self {
        Self { value: value.into(), position: self.position, layout: self.layout }
    }

    /// The value.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// The value, owned.
    pub fn into_string(self) -> String {
        self.value
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.value
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self { value: value.to_owned(), ..Self::default() }
    }
}

impl From<String> for Text {
    fn from(value: String) -> Self {
        Self { value, ..Self::default() }
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.value
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.value)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.value == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.value == *other
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_searched_by_value_whatever_the_positions() {
        let key = Text::new("b", Position { line: 7, column: 3 }, Layout::Flow);
        let map = Map::from([(key, Text::from("1")), (Text::from("a"), Text::from("2"))]);
        assert_eq!(map.get("b").map(Text::as_str), Some("1"));
        assert_eq!(map.keys().map(Text::as_str).collect::<Vec<_>>(), ["a", "b"]);
    }
}
