//! A sandbox's overhead, by `kiln bench build`: `cargo bench --bench bubblewrap -- --rounds 20`. It fails when a build takes more than
//! [`BOUND`] longer than a bare `bwrap`.

mod harness;

use std::{env, path::PathBuf, process::ExitCode};

use kiln::bench::Document;

/// How much longer than the bare sandbox the build may take, in seconds, by the medians.
const BOUND: f64 = 0.030;

fn main() -> ExitCode {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let named = env::args().any(|argument| argument.starts_with("--out-dir"));
    assert!(!named, "the bound is checked in the results, whose directory is this benchmark's own");
    let path: PathBuf = directory.path().join("build.json");
    let out = directory.path().to_str().expect("a temporary directory has a name in UTF-8");
    let code = harness::run(&["build", "--only", "bubblewrap", "--out-dir", out]);
    if !path.exists() {
        return code;
    }
    let document = Document::read(&path).expect("kiln has written it");
    let median =
        |variant: &str| document.row("bubblewrap", variant).expect("both were measured").quartiles.median;
    let more = median("kiln") - median("plain");
    assert!(
        more <= BOUND,
        "a build takes {:.1} ms more than a bare bwrap, not {:.0}",
        more * 1e3,
        BOUND * 1e3
    );
    code
}
