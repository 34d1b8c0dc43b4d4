//! Finds the licences of SPDX's list in texts: those of which a text has nine tenths of all phrases.
//!
//! The licence that explains most of the text comes first, and its phrases are taken away before the next is looked for: a text
//! of the BSD licence with three clauses has that with two in it.

use std::{cmp::Reverse, collections::BTreeSet};

use spdx::{license_id, text::LICENSE_TEXTS};

use super::{
    names::family,
    phrases::{Counted, phrases},
};

/// The part of a licence that has to be in a text, as melange wants it: a fraction.
const PART: (u32, u32) = (9, 10);
/// The fewest phrases of a licence: a shorter one is a sentence, which other texts have as well.
const FEWEST: usize = 40;
/// The most licences, and the most copies of one, that are looked for in a text.
const MOST: u32 = 16;
/// After this line come instructions for authors.
const END: &str = "END OF TERMS AND CONDITIONS";
/// In SPDX's list the text of the LGPL 3.0 has that of the GPL 3.0 behind it.
const LESSER: (&str, &str) = ("GNU LESSER GENERAL PUBLIC LICENSE", "\nGNU GENERAL PUBLIC LICENSE\n");

/// A licence in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// SPDX's name; without `-only` or `-or-later`, which have the same text.
    pub name: String,
    /// How many of a hundred phrases of the licence are in the text.
    pub percent: u32,
}

struct Candidate {
    name: &'static str,
    phrases: Counted,
    total: u32,
}

/// The licences of each text; none for a text of an unknown one.
pub fn detect(texts: &[&str]) -> Vec<Vec<Detected>> {
    if texts.is_empty() {
        return Vec::new();
    }
    let mut counted: Vec<Counted> = texts.iter().map(|text| Counted::new(&phrases(text))).collect();
    let mut candidates: Vec<Vec<Candidate>> = texts.iter().map(|_| Vec::new()).collect();
    for (name, text) in LICENSE_TEXTS.iter().filter(|(name, _)| is_listed(name)) {
        let known = phrases(&essential(text));
        if known.len() < FEWEST {
            continue;
        }
        for (counted, candidates) in counted.iter().zip(&mut candidates) {
            let present = known.iter().filter(|phrase| counted.count(**phrase) > 0).count();
            if is_enough(present as u32, known.len() as u32) {
                let (phrases, total) = (Counted::new(&known), known.len() as u32);
                candidates.push(Candidate { name, phrases, total });
            }
        }
    }
    counted.iter_mut().zip(candidates).map(|(counted, candidates)| of_text(counted, candidates)).collect()
}

/// Names that SPDX has replaced, and one of two names for the same text, are left out.
fn is_listed(name: &str) -> bool {
    let twice = name.ends_with("-or-later") || name.contains("-invariants-");
    !twice && license_id(name).is_some_and(|id| !id.is_deprecated())
}

/// The text without names of authors and instructions for them.
fn essential(text: &str) -> String {
    let text = text.split(END).next().unwrap_or_default();
    let text = match text.starts_with(LESSER.0) {
        true => text.split(LESSER.1).next().unwrap_or_default(),
        false => text,
    };
    let is_notice = |line: &&str| line.trim_start().to_ascii_lowercase().starts_with("copyright ");
    let lines: Vec<&str> = text.lines().filter(|line| !is_notice(line)).collect();
    lines.join("\n")
}

fn is_enough(present: u32, total: u32) -> bool {
    u64::from(present) * u64::from(PART.1) >= u64::from(total) * u64::from(PART.0)
}

fn of_text(text: &mut Counted, mut candidates: Vec<Candidate>) -> Vec<Detected> {
    let (mut found, mut names) = (Vec::new(), BTreeSet::new());
    for _ in 0..MOST {
        candidates.retain(|one| is_enough(text.shared(&one.phrases, 1), one.total));
        // What a licence explains, less what is missing of it.
        let worth = |one: &Candidate| {
            let shared = text.shared(&one.phrases, 1);
            (i64::from(shared) * 2 - i64::from(one.total), Reverse(one.name), shared)
        };
        let Some(best) = candidates.iter().max_by_key(|one| worth(one)) else { break };
        let shared = text.shared(&best.phrases, 1);
        let name = family(best.name);
        if names.insert(name.clone()) {
            found.push(Detected { name, percent: shared * 100 / best.total });
        }
        let is_there = |copies: &u32| is_enough(text.shared(&best.phrases, *copies), best.total);
        let copies = (2..=MOST).take_while(is_there).last().unwrap_or(1);
        text.remove(&best.phrases, copies);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        license_id(name).unwrap_or_else(|| panic!("{name} is listed")).text()
    }

    fn names(text: &str) -> Vec<String> {
        let found = detect(&[text]).remove(0);
        found.into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn well_known_licences_are_told_apart() {
        let known = [
            ("MIT", "MIT"),
            ("MIT-0", "MIT-0"),
            ("X11", "X11"),
            ("ISC", "ISC"),
            ("0BSD", "0BSD"),
            ("JSON", "JSON"),
            ("BSD-2-Clause", "BSD-2-Clause"),
            ("BSD-3-Clause", "BSD-3-Clause"),
            ("BSD-4-Clause", "BSD-4-Clause"),
            ("Apache-2.0", "Apache-2.0"),
            ("GPL-1.0-only", "GPL-1.0"),
            ("GPL-2.0-only", "GPL-2.0"),
            ("GPL-2.0-or-later", "GPL-2.0"),
            ("GPL-3.0-only", "GPL-3.0"),
            ("AGPL-3.0-only", "AGPL-3.0"),
            ("LGPL-2.0-only", "LGPL-2.0"),
            ("LGPL-2.1-or-later", "LGPL-2.1"),
            ("MPL-1.1", "MPL-1.1"),
            ("MPL-2.0", "MPL-2.0"),
            ("CC0-1.0", "CC0-1.0"),
            ("Unlicense", "Unlicense"),
            ("Zlib", "Zlib"),
            ("BSL-1.0", "BSL-1.0"),
            ("OFL-1.1", "OFL-1.1"),
            ("EPL-2.0", "EPL-2.0"),
            ("Artistic-2.0", "Artistic-2.0"),
            ("GFDL-1.3-only", "GFDL-1.3"),
            ("Python-2.0", "Python-2.0"),
            ("Unicode-3.0", "Unicode-3.0"),
            ("WTFPL", "WTFPL"),
        ];
        let texts: Vec<&str> = known.iter().map(|(name, _)| text(name)).collect();
        for ((name, wanted), found) in known.iter().zip(detect(&texts)) {
            let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(names, [*wanted], "{name}");
        }
    }

    #[test]
    fn a_file_of_several_licences_has_all_of_them() {
        let both = format!("Either\n{}\nor\n{}", text("MIT"), text("Apache-2.0"));
        assert_eq!(names(&both), ["Apache-2.0", "MIT"]);
        let twice = format!("{0}\n{0}\n{1}", text("Apache-2.0"), text("BSD-3-Clause"));
        assert_eq!(names(&twice), ["Apache-2.0", "BSD-3-Clause"]);
        let lesser = format!("{}\n{}", text("BSD-2-Clause"), text("BSD-3-Clause"));
        assert_eq!(names(&lesser), ["BSD-3-Clause", "BSD-2-Clause"]);
    }

    #[test]
    fn the_lgpl_is_found_without_the_text_of_the_gpl() {
        let whole = text("LGPL-3.0-only");
        let own = whole.split(LESSER.1).next().expect("a first part");
        assert!(own.len() < whole.len());
        assert_eq!(names(own), ["LGPL-3.0"]);
        assert_eq!(names(whole), ["GPL-3.0", "LGPL-3.0"]);
    }

    #[test]
    fn a_text_in_comments_with_its_own_names_is_found() {
        let filled = text("MIT").replace("<year> <copyright holders>", "2019-2024 Example, Inc. and others");
        let commented: String = filled.lines().map(|line| format!(" * {}\n", line.to_uppercase())).collect();
        assert_eq!(names(&commented), ["MIT"]);
    }

    #[test]
    fn what_is_not_the_text_of_a_licence_has_none() {
        let half = &text("GPL-2.0-only")[..9000];
        for text in ["", "Copyright 2024 Example, Inc. All rights reserved.", "See LICENSE-MIT.", half] {
            assert!(names(text).is_empty(), "{text}");
        }
        assert!(detect(&[]).is_empty());
    }
}
