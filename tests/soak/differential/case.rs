//! A build file of the corpus; its first lines are comments: its subject, then directives.
//!
//! `exit: N` is the exit code it must have (0), `args: …` more arguments of `kiln build`, `source: none` leaves
//! `--source-dir` out, `under: COMMAND…` is what starts kiln, `without: BACKEND…` are the backends in which what it shows
//! cannot be had.

use std::{fs, path::Path};

/// A build file and what is expected of it.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The name of its file.
    pub(crate) name: String,
    /// The build file.
    pub(crate) text: String,
    /// kiln's exit code.
    pub(crate) exit: i32,
    /// The command that starts kiln, if it is not the test.
    pub(crate) under: Vec<String>,
    /// More arguments.
    pub(crate) args: Vec<String>,
    /// Backends in which it is not built.
    pub(crate) without: Vec<String>,
    /// Whether it has a source directory.
    pub(crate) has_source: bool,
}

impl Case {
    /// Reads a case.
    pub(crate) fn load(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut case = Self {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            text: text.clone(),
            exit: 0,
            under: Vec::new(),
            args: Vec::new(),
            without: Vec::new(),
            has_source: true,
        };
        for line in text.lines().map_while(|line| line.strip_prefix("# ")).skip(1) {
            match line.split_once(": ") {
                Some(("exit", code)) => case.exit = code.parse().unwrap(),
                Some(("under", command)) => case.under = words(command),
                Some(("args", args)) => case.args = words(args),
                Some(("without", backends)) => case.without = words(backends),
                Some(("source", "none")) => case.has_source = false,
                _ => panic!("{}: unknown directive {line:?}", path.display()),
            }
        }
        case
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
