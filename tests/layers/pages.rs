//! The pages for people that change kiln name files that exist, and all modules.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{MAY_IMPORT, source};

const MAP: &str = "docs/architecture.md";
/// Pages that name files of the repository, from its root.
const PAGES: &[&str] = &[MAP, "CONTRIBUTING.md"];
/// The beginnings of such names.
const ROOTS: &[&str] =
    &["src/", "guest-init/", "tests/", "benches/", "fuzz/", "examples/", "docs/", "images/", ".ci/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("the page can be read")
}

/// The files and directories that stand in backticks.
fn paths(page: &str) -> BTreeSet<&str> {
    let code = page.split('`').skip(1).step_by(2);
    let words = code.flat_map(|code| code.split([' ', ',', ';', '\n']));
    words.filter(|word| ROOTS.iter().any(|root| word.starts_with(root))).collect()
}

#[test]
fn every_file_that_a_page_names_exists() {
    let mut missing = Vec::new();
    for name in PAGES {
        let text = page(name);
        let paths = paths(&text);
        assert!(paths.len() > 5, "{name} names only {paths:?}");
        let is_missing = |path: &&&str| !root().join(path).exists();
        missing.extend(paths.iter().filter(is_missing).map(|path| format!("{name}: {path}")));
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_module_is_on_the_map() {
    let text = page(MAP);
    let named = paths(&text);
    for (module, _) in MAY_IMPORT {
        for path in [format!("src/{module}.rs"), format!("src/{module}/")] {
            let exists = source().join(&path["src/".len()..]).exists();
            assert!(!exists || named.contains(path.as_str()), "{path} is not on the map");
        }
    }
}

#[test]
fn the_reader_of_pages_sees_names_in_code() {
    let page =
        "The `src/a.rs` and\n* `tests/b/`, by `KILN=1 fuzz/run --x`; `kiln build`, src/c.rs, `plan.rs`";
    assert_eq!(paths(page), ["src/a.rs", "tests/b/", "fuzz/run"].into());
}
