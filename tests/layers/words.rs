//! Comments, messages and pages are in plain English.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{files_below, name_of};

/// Words and phrases that plain sentences do without.
const NOT_PLAIN: &[&str] =
    &["nobody", "somebody", "anybody", "everybody", "whoever", "it is none", "who runs kiln"];
/// A user of Linux, who may stand in quotes or backticks.
const USER: &str = "nobody";

/// Where a file says something to its reader.
#[derive(Debug, Clone, Copy)]
enum Prose {
    /// Anywhere.
    Everywhere,
    /// In what follows a `#`.
    Comments,
}

impl Prose {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "rs" | "md" => Some(Self::Everywhere),
            "yaml" | "sh" | "bash" | "fish" | "zsh" => Some(Self::Comments),
            _ => None,
        }
    }

    /// The text in one line: a sentence goes on in the next line, behind its `//` or `#`.
    fn of_text(self, text: &str) -> String {
        let lines = text.lines().map(|line| match self {
            Self::Everywhere => line.trim().trim_start_matches("//").trim_start_matches(['/', '!']).trim(),
            Self::Comments => line.split_once('#').map_or("", |(_, comment)| comment).trim(),
        });
        lines.collect::<Vec<_>>().join(" ").to_lowercase()
    }
}

#[test]
fn comments_messages_and_pages_are_plain() {
    let mut found = BTreeSet::new();
    let places = ["src", "guest-init", "tests", "benches", "docs", "README.md", "CONTRIBUTING.md"];
    for path in files_below(&places) {
        let name = name_of(&path);
        let Some(prose) = Prose::of(&path).filter(|_| name != "tests/layers/words.rs") else { continue };
        let text = fs::read_to_string(&path).expect("the source can be read");
        if !words_in(&prose.of_text(&text)).is_empty() {
            found.insert(name);
        }
    }
    assert!(found.is_empty(), "no file has one of {NOT_PLAIN:?}: these have {found:#?}");
}

/// Those of [`NOT_PLAIN`] that a line has.
fn words_in(line: &str) -> Vec<&'static str> {
    let is_in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let is_word = |word: &str, at: usize| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        let after = line[at + word.len()..].chars().next().unwrap_or(' ');
        let is_name = word == USER && before == after && ['`', '"', '\''].contains(&before);
        !is_in_word(before) && !is_in_word(after) && !is_name
    };
    let has = |word: &&str| line.match_indices(*word).any(|(at, _)| is_word(word, at));
    NOT_PLAIN.iter().copied().filter(has).collect()
}

#[test]
fn the_reader_of_words_knows_comments_and_names() {
    let cases: [(Prose, &str, &[&str]); 6] = [
        (Prose::Everywhere, "/// Nobody\n/// and who\n    /// runs kiln.", &["nobody", "who runs kiln"]),
        (Prose::Everywhere, "the user `nobody`, User::Name(\"nobody\"), nobody_else, nobody-here", &[]),
        (Prose::Everywhere, "that is nobody's", &["nobody"]),
        (Prose::Everywhere, "//! Whoever: it is\n//! none.", &["whoever", "it is none"]),
        (Prose::Comments, "chown nobody file # for everybody", &["everybody"]),
        (Prose::Comments, "su somebody\n# plain", &[]),
    ];
    for (prose, text, expected) in cases {
        assert_eq!(words_in(&prose.of_text(text)), expected, "{text}");
    }
}
