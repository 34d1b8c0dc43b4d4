//! What a build leaves in its cache.

use std::{fs, path::Path};

use super::{build, has_bwrap, project, said};

/// Below the cache, sorted; directories end with a slash.
fn all(cache: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![cache.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("listed") {
            let path = entry.expect("listed").path();
            let name = path.strip_prefix(cache).expect("below").display().to_string();
            found.push(if path.is_dir() { name + "/" } else { name });
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn directories_of_cargo_are_there_only_once_cargo_has_put_something_there() {
    if !has_bwrap() {
        return;
    }
    for mode in ["rw", "commit"] {
        let (_directory, project) = project();
        let cache = project.join("cache");
        let run = |step: &str| {
            let output = build(&project, "build", &[step], &["--cache-mode", mode]);
            assert!(output.status.success(), "{mode}: {}", said(&output));
        };
        run("ls \"$CARGO_HOME/registry\" \"$CARGO_HOME/git\"");
        assert_eq!(all(&cache), Vec::<String>::new(), "{mode}");
        run("mkdir \"$CARGO_HOME/registry/cache\"; touch \"$CARGO_HOME/registry/cache/crate\"");
        let left = ["cargo/", "cargo/registry/", "cargo/registry/cache/", "cargo/registry/cache/crate"];
        assert_eq!(all(&cache), left, "{mode}");
    }
}
