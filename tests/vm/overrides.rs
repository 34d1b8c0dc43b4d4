//! The contract's examples, word for word: variables set in the build file, and inside `runs:` without `export`, are what
//! the tools see. A child of the step's shell stands for the tool.

use std::fs;

use super::{said, with_cache};

/// Each variable of the contract with its default.
const VARIABLES: [(&str, &str); 7] = [
    ("GOMODCACHE", "/var/cache/melange/gomodcache"),
    ("UV_CACHE_DIR", "/var/cache/melange/uv"),
    ("PIP_CACHE_DIR", "/var/cache/melange/pip"),
    ("COMPOSER_CACHE_DIR", "/var/cache/melange/composer"),
    ("npm_config_cache", "/var/cache/melange/npm"),
    ("CARGO_HOME", "/var/cache/melange/cargo"),
    ("GOPATH", "/home/build/.cache/go"),
];

/// Builds a file of this environment and these steps; what it printed.
fn build(environment: &str, steps: &str, cache: &str, also: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let text = format!(
        "package:\n  name: sample\n  version: 1.0\n  epoch: 0\nenvironment:\n{environment}\npipeline:\n{steps}"
    );
    fs::write(directory.path().join("file.yaml"), text).expect("the build file can be written");
    let output = with_cache(directory.path(), cache)
        .args(["--cache-also", also])
        .output()
        .expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// Has a child of the shell say what it sees.
fn tell(mark: &str, variable: &str) -> String {
    format!("      sh -c 'echo \"{mark} {variable} is ${variable}.\"'\n")
}

#[test]
fn assignments_inside_runs_reach_tools_without_export() {
    let mut steps = String::new();
    for (variable, default) in VARIABLES {
        // As the contract's examples write it, the second time with another value.
        steps += "  - runs: |\n";
        steps += &tell("default", variable);
        steps += &format!("      {variable}=\"{default}\"\n");
        steps += &tell("literal", variable);
        steps += &format!("      {variable}=\"/var/cache/melange\"\n");
        steps += &tell("changed", variable);
    }
    let text = build("  environment: {}", &steps, "cache", "gocache,ccache");
    for (variable, default) in VARIABLES {
        for (mark, value) in [("default", default), ("literal", default), ("changed", "/var/cache/melange")] {
            assert!(text.contains(&format!("{mark} {variable} is {value}.")), "{mark} {variable}\n{text}");
        }
    }
}

#[test]
fn the_build_files_environment_wins_over_defaults_and_a_steps_over_both() {
    let environment = VARIABLES.iter().fold(String::from("  environment:\n"), |text, (variable, _)| {
        format!("{text}    {variable}: '/var/cache/melange'   # <-- here!\n")
    });
    let mut steps = String::from("  - runs: |\n");
    for (variable, _) in VARIABLES {
        steps += &tell("file", variable);
    }
    steps += "  - environment:\n      GOMODCACHE: /step\n    runs: |\n";
    steps += &tell("step", "GOMODCACHE");
    // Without a cache the variables are there as well, and lead to a directory of the guest alone.
    let text = build(&environment, &steps, "", "gocache,bazel");
    for (variable, _) in VARIABLES {
        assert!(text.contains(&format!("file {variable} is /var/cache/melange.")), "{variable}\n{text}");
    }
    assert!(text.contains("step GOMODCACHE is /step."), "{text}");
}

#[test]
fn what_is_asked_for_is_there_and_nothing_else() {
    let steps = "  - runs: |\n      echo \"gocache: ${GOCACHE:-unset}; sccache: ${SCCACHE_DIR:-unset}\"\n      cat /etc/bazel.bazelrc\n      echo \"path: $PATH\"\n";
    let text = build("  environment: {}", steps, "cache", "gocache,bazel,ccache");
    assert!(text.contains("gocache: /var/cache/melange/gocache; sccache: unset"), "{text}");
    assert!(text.contains("--disk_cache=/var/cache/melange/bazel/disk"), "{text}");
    assert!(text.contains("path: /usr/lib/ccache:/usr/lib/ccache/bin:/usr/local/sbin:"), "{text}");
}
