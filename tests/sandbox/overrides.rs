//! The examples of the build cache's contract, word for word: a variable of a build file's environment or of a line of `runs:`,
//! without `export`, names the directory of the tool's files, which lies in the host's cache. A script stands for the tool.

use std::{fs, process::Stdio};

use super::{command, has_bwrap, project, said};

/// An example.
struct Example {
    tool: &'static str,
    variable: &'static str,
    /// Below the cache, as the example has it.
    directory: &'static str,
    environment: &'static str,
    pipeline: &'static str,
}

const EXAMPLES: [Example; 6] = [
    Example {
        tool: "go",
        variable: "GOMODCACHE",
        directory: "",
        environment: "environment:
  contents:
    packages:
      # ...
  environment:
    GOMODCACHE: '/var/cache/melange'   # <-- here!
",
        pipeline: "pipeline:
  - runs: |
      GOMODCACHE=\"/var/cache/melange\"
      # ...
      go build
",
    },
    Example {
        tool: "uv",
        variable: "UV_CACHE_DIR",
        directory: "/uv",
        environment: "environment:
  environment:
    UV_CACHE_DIR: '/var/cache/melange/uv'   # This is the default
",
        pipeline: "pipeline:
  - runs: |
      UV_CACHE_DIR=\"/var/cache/melange/uv\"
      uv pip install -r requirements.txt
",
    },
    Example {
        tool: "pip",
        variable: "PIP_CACHE_DIR",
        directory: "/pip",
        environment: "environment:
  environment:
    PIP_CACHE_DIR: '/var/cache/melange/pip'   # This is the default
",
        pipeline: "pipeline:
  - runs: |
      PIP_CACHE_DIR=\"/var/cache/melange/pip\"
      pip install -r requirements.txt
",
    },
    Example {
        tool: "composer",
        variable: "COMPOSER_CACHE_DIR",
        directory: "/composer",
        environment: "environment:
  environment:
    COMPOSER_CACHE_DIR: '/var/cache/melange/composer'   # This is the default
",
        pipeline: "pipeline:
  - runs: |
      COMPOSER_CACHE_DIR=\"/var/cache/melange/composer\"
      composer install
",
    },
    Example {
        tool: "npm",
        variable: "npm_config_cache",
        directory: "/npm",
        environment: "environment:
  environment:
    npm_config_cache: '/var/cache/melange/npm'   # This is the default
",
        pipeline: "pipeline:
  - runs: |
      npm_config_cache=\"/var/cache/melange/npm\"
      npm install
",
    },
    Example {
        tool: "cargo",
        variable: "CARGO_HOME",
        directory: "/cargo",
        environment: "environment:
  environment:
    CARGO_HOME: '/var/cache/melange/cargo'   # This is the default
",
        pipeline: "pipeline:
  - runs: |
      CARGO_HOME=\"/var/cache/melange/cargo\"
      cargo build --release
",
    },
];

/// Stands for a tool: it keeps a file that says how it was called, in a directory that is Cargo's cache, too.
const TOOL: &str = "#!/bin/sh
mkdir -p \"$VARIABLE/registry\"
echo \"$*\" > \"$VARIABLE/registry/called-$AS\"";

/// Builds the example, and has the tool called by its step, and, before, by one that says nothing of the variable.
/// `places` are below the cache: what the environment and what the step say.
fn build(example: &Example, places: [&str; 2]) {
    let Example { tool, variable, directory, environment, pipeline } = example;
    let (_directory, project) = project();
    let in_quotes = |text: &str, quote: &str, place: &str| {
        let from = format!("{quote}/var/cache/melange{directory}{quote}");
        assert!(text.contains(&from), "{tool}");
        text.replace(&from, &format!("{quote}/var/cache/melange{place}{quote}"))
    };
    let script = TOOL.replace("VARIABLE", variable).replace('\n', "\n      ");
    let before = format!(
        "pipeline:
  - runs: |
      cat > /usr/local/bin/{tool} <<'END'
      {script}
      END
      chmod 755 /usr/local/bin/{tool}
      AS=environment {tool} by the environment
  - runs: echo 'export AS=step' > /tmp/as
"
    );
    let steps = in_quotes(pipeline, "\"", places[1]).replace("pipeline:\n", &before);
    let steps = steps.replace(&format!("      {tool} "), &format!("      . /tmp/as\n      {tool} "));
    let text = format!(
        "package:\n  name: sample\n  version: 1.10\n  epoch: 3\n{}{steps}",
        in_quotes(environment, "'", places[0])
    );
    let mut kiln = command(&project, "root", &[], &["--progress", "plain"]);
    fs::write(project.join("file.yaml"), &text).expect("written");
    let output = kiln.stdin(Stdio::null()).output().expect("kiln can be started");
    assert!(output.status.success(), "{text}\n{}", said(&output));
    let called = |place: &str, by: &str| {
        let file = format!("cache{place}/registry/called-{by}");
        fs::read_to_string(project.join(&file)).unwrap_or_else(|error| panic!("{tool}: {file}: {error}"))
    };
    assert_eq!(called(places[0], "environment"), "by the environment\n", "{tool}");
    let line = pipeline.lines().last().expect("it has some").trim();
    assert_eq!(format!("{tool} {}", called(places[1], "step")), format!("{line}\n"));
}

#[test]
fn the_contracts_examples_hold_word_for_word() {
    if !has_bwrap() {
        return;
    }
    for example in &EXAMPLES {
        build(example, [example.directory; 2]);
    }
}

#[test]
fn the_contracts_examples_hold_with_other_places_than_the_defaults() {
    if !has_bwrap() {
        return;
    }
    for example in &EXAMPLES {
        build(example, ["/of/the/environment", "/of/the/step"]);
    }
}
