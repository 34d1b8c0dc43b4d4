//! The entries of a stream that are not kept while the others are: they are reported at the end of the build.

use std::fmt;

use crate::cache::dir::shown;

/// How many are named.
const NAMED: usize = 3;

/// Entries that were left out, and the reasons: the first ones by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    named: Vec<String>,
    more: u64,
}

impl LeftOut {
    pub(in crate::cache) fn add(&mut self, path: &[u8], why: &str) {
        if self.named.len() < NAMED {
            self.named.push(format!("{} ({why})", shown(path)));
        } else {
            self.more += 1;
        }
    }

    /// In words; `None` if there are none.
    pub fn words(&self) -> Option<String> {
        (!self.named.is_empty()).then(|| self.to_string())
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named.join(", "))?;
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.words(), None);
        for name in ["a", "b", "c", "d", "e"] {
            left_out.add(name.as_bytes(), "no");
        }
        assert_eq!(left_out.to_string(), r#""a" (no), "b" (no), "c" (no) and 2 more"#);
    }
}
