//! A function can be read at once.

use std::collections::BTreeSet;

use crate::{code, exceptions, name_of, rust_files};

/// The most lines of code in a function, its signature and last brace included.
const MOST_LINES: usize = 60;
/// Those that are longer still.
const TOO_LONG: &[&str] = &[
    "guest-init/tests/it/prepare.rs: a_guest_is_prepared_in_the_order_of_the_fields",
    "guest-init/tests/it/upper.rs: a_renamed_directory_is_exported_completely",
    "src/compile/tests/faults.rs: faults_of_build_files",
    "src/package/hostile.rs: archives",
    "tests/it/host_programs.rs: a_repository_reaches_neither_the_host_nor_its_programs",
    "tests/sandbox/liar.rs: single",
    "tests/sandbox/masking.rs: no_program_that_kiln_starts_inherits_a_secret",
];

#[test]
fn a_function_can_be_read_at_once() {
    let mut found = BTreeSet::new();
    for path in rust_files(&["src", "guest-init", "tests", "benches"]) {
        let long = functions(&code(&path)).into_iter().filter(|(_, lines)| *lines > MOST_LINES);
        found.extend(long.map(|(function, _)| format!("{}: {function}", name_of(&path))));
    }
    let rule = format!("a function has at most {MOST_LINES} lines of code");
    exceptions::check(&rule, &found, TOO_LONG);
}

/// The functions of a text that rustfmt has formatted, with their lines of code. The last line of one is a brace below the
/// beginning of its first.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_last = |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest.trim_end() == "}");
        let signature = lines[at..].iter().position(|line| line.trim_end().ends_with(['{', '}', ';']));
        let Some(signature) = signature else { continue };
        let length = match lines[at + signature].trim_end().chars().last() {
            Some('{') => lines[at..].iter().position(is_last).map_or(0, |last| last + 1),
            Some('}') => signature + 1,
            // A signature in a trait.
            _ => continue,
        };
        found.push((name.to_owned(), length));
    }
    found
}

/// The name that a line declares.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_modifier = |word: &str| {
        ["async", "const", "extern", "unsafe", "\"C\""].contains(&word) || word.starts_with("pub")
    };
    let end = after.find(['(', '<'])?;
    (before.split_whitespace().all(is_modifier) && (before.is_empty() || before.ends_with(' ')))
        .then_some(&after[..end])
}

#[test]
fn the_reader_of_functions_counts_bodies_and_leaves_signatures_out() {
    let text = "trait T {\n    fn none(&self);\n    fn some(\n        &self,\n    ) -> u8 {\n        1\n    }\n}\n\
                pub(crate) async fn two() {\n}\nfn line() {}\nlet f: fn (u8) = g;\n";
    let expected = [("some", 5), ("two", 2), ("line", 1)].map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(functions(text), expected);
}
