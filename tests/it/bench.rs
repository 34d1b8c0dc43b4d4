//! `kiln bench compare` with files: its exit codes, and what it refuses.

use std::{fs, path::Path, process::Command};

use serde_json::json;

/// The document of a benchmark with one row, whose samples are these.
fn result(path: &Path, suite: &str, kernel: &str, samples: &[f64]) {
    let quartiles = json!({ "lower": 1, "median": 1, "upper": 1 });
    let text = json!({
        "schema": "kiln-bench/1", "suite": suite, "seed": 1, "options": [["rounds", "5"]],
        "fingerprint": {
            "facts": [["kiln", "0.1.0"], ["host kernel", kernel]],
            "load_average": { "start": 0.0, "end": 0.0 },
        },
        "variants": [{ "id": "kiln", "title": "kiln build", "reference": false }],
        "scenarios": [{ "id": "start", "title": "cold start", "group": "Start", "unit": "seconds" }],
        "results": [
            { "scenario": "start", "variant": "kiln", "samples": samples, "quartiles": quartiles, "ratio": null },
        ],
    });
    fs::write(path, text.to_string()).unwrap();
}

/// Runs the command in a directory; its exit code, stdout and stderr.
fn compare(directory: &Path, line: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(["bench", "compare"]).args(line.split(' ')).current_dir(directory);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_regression_exits_with_1_only_when_it_is_asked_for_and_large_enough() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    result(&at("a.json"), "boot", "6.1", &[1.0, 1.01, 0.99, 1.0, 1.02]);
    result(&at("slower.json"), "boot", "6.1", &[1.1, 1.11, 1.09, 1.1, 1.12]);
    result(&at("few.json"), "boot", "6.1", &[1.1, 1.11, 1.09]);
    for (line, code, said) in [
        ("a.json slower.json", 0, "SLOWER"),
        ("a.json slower.json --fail-on-regression", 1, "1.10x [1."),
        ("a.json slower.json --fail-on-regression 5", 1, "0 faster, 1 slower"),
        ("a.json slower.json --fail-on-regression 20", 0, "SLOWER"),
        ("slower.json a.json --fail-on-regression", 0, "faster"),
        ("a.json a.json --fail-on-regression", 0, "no difference"),
        ("a.json few.json --fail-on-regression", 0, "fewer than 4 samples"),
    ] {
        let (status, stdout, stderr) = compare(directory.path(), line);
        assert!(
            status == code && stdout.contains(said) && stderr.is_empty(),
            "{line}: {status} {stdout} {stderr}"
        );
    }
    let (status, stdout, _) = compare(directory.path(), "a.json slower.json --json --fail-on-regression 5");
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &document["regressions"]), (1, &json!(1)));
    assert_eq!(document["comparison"]["changes"][0]["finding"], "slower");
}

#[test]
fn other_machines_are_said_loudly_and_other_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    result(&at("a.json"), "boot", "6.1", &[1.0; 5]);
    result(&at("b.json"), "boot", "6.8", &[1.0; 5]);
    result(&at("build.json"), "build", "6.1", &[1.0; 5]);
    fs::write(at("package.json"), "{\"name\": \"x\"}").unwrap();
    let (status, stdout, _) = compare(directory.path(), "a.json b.json");
    assert!(status == 0 && stdout.starts_with("WARNING: THE RESULTS ARE OF DIFFERENT MACHINES"), "{stdout}");
    assert!(stdout.contains("host kernel  6.1  ->  6.8"), "{stdout}");
    for (line, said) in [
        ("a.json build.json", "one result is of boot, the other of build"),
        ("a.json package.json", "package.json cannot be compared: it is no JSON document with a schema"),
        ("a.json missing.json", "missing.json cannot be compared: No such file"),
        ("--fail-on-regression a.json b.json", "--fail-on-regression: \"a.json\" is not a percentage"),
    ] {
        let (status, _, stderr) = compare(directory.path(), line);
        assert!(status == 2 && stderr.contains(said), "{line}: {status} {stderr}");
    }
}
