//! Texts as counted phrases, in which letters' case, punctuation, line breaks and the marks of comments do not count.

use std::collections::HashMap;

/// Words of a phrase.
const PHRASE: usize = 3;
/// The start and the factor of FNV-1a.
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x100_0000_01b3);

/// The phrases of a text, as digests, in order. Words of one letter are left out: they number or mark the parts of a list.
pub(super) fn phrases(text: &str) -> Vec<u64> {
    let words: Vec<u64> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() > 1)
        .map(|word| digest(word.bytes().map(|byte| byte.to_ascii_lowercase())))
        .collect();
    words.windows(PHRASE).map(|words| digest(words.iter().flat_map(|word| word.to_le_bytes()))).collect()
}

fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(FNV.0, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(FNV.1))
}

/// How often each phrase is in a text.
#[derive(Debug)]
pub(super) struct Counted(HashMap<u64, u32>);

impl Counted {
    pub(super) fn new(phrases: &[u64]) -> Self {
        let mut counts = HashMap::new();
        for phrase in phrases {
            *counts.entry(*phrase).or_insert(0) += 1;
        }
        Self(counts)
    }

    pub(super) fn count(&self, phrase: u64) -> u32 {
        self.0.get(&phrase).copied().unwrap_or(0)
    }

    /// How many phrases of another text are in this one `copies` times.
    pub(super) fn shared(&self, other: &Self, copies: u32) -> u32 {
        let found = |(phrase, count): (&u64, &u32)| match copies {
            1 => self.count(*phrase).min(*count),
            _ if self.count(*phrase) >= count.saturating_mul(copies) => *count,
            _ => 0,
        };
        other.0.iter().map(found).sum()
    }

    /// Takes `copies` of another text away.
    pub(super) fn remove(&mut self, other: &Self, copies: u32) {
        for (phrase, count) in &other.0 {
            if let Some(own) = self.0.get_mut(phrase) {
                *own = own.saturating_sub(count.saturating_mul(copies));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_punctuation_and_marks_do_not_count() {
        let plain = phrases("Permission is hereby granted to the owner's heirs");
        assert_eq!(plain.len(), 6);
        assert_eq!(phrases("// (a) PERMISSION, is\n// hereby “granted”\n// to the owner’s heirs."), plain);
        assert!(phrases("two words").is_empty());
    }

    #[test]
    fn copies_of_a_text_are_counted_and_removed() {
        let one = Counted::new(&phrases("one two three four"));
        let mut both = Counted::new(&phrases("one two three four, one two three four, two three four"));
        assert_eq!((both.shared(&one, 1), both.shared(&one, 2), both.shared(&one, 3)), (2, 2, 1));
        both.remove(&one, 2);
        assert_eq!(both.shared(&one, 1), 1);
    }
}
