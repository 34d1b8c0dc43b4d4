//! `kiln bench io` with little to do: two shares, a scenario of each kind, one round.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::said;

/// A scenario of fio, of many files, and of a tree.
const SCENARIOS: [(&str, &str); 3] =
    [("psync-read-4k-1", "bytes_per_second"), ("stat", "operations_per_second"), ("untar", "seconds")];

fn bench(out_dir: &Path, shares: &str) -> Command {
    let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command
        .args([
            "bench", "io", "--quick", "--rounds", "1", "--accel", "tcg", "--memory", "1Gi", "--cpu", "2",
            "--json",
        ])
        .args(["--shares", shares, "--scenarios", &names.join(","), "--seed", "7", "--out-dir"])
        .arg(out_dir)
        .stdin(Stdio::null());
    command
}

#[test]
fn shares_are_compared_and_nothing_is_left_but_the_result() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let out_dir = directory.path().join("out");
    let output = bench(&out_dir, "disk,9p-ro").output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");

    assert_eq!(document["suite"], "io");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let variants = document["variants"].as_array().expect("a list");
    let variants: Vec<(String, Value)> =
        variants.iter().map(|one| (text(&one["id"]), one["reference"].clone())).collect();
    assert_eq!(variants, [("disk".into(), Value::Bool(true)), ("9p-ro".into(), Value::Bool(false))]);
    let scenarios = document["scenarios"].as_array().expect("a list");
    let scenarios: Vec<(String, String)> =
        scenarios.iter().map(|one| (text(&one["id"]), text(&one["unit"]))).collect();
    assert_eq!(scenarios, SCENARIOS.map(|(id, unit)| (id.to_owned(), unit.to_owned())));
    let rows = document["results"].as_array().expect("a list");
    assert_eq!(rows.len(), 6, "each share has a value in each scenario: {}", said(&output));
    for row in rows {
        let samples = row["samples"].as_array().expect("a list");
        // The warm-up is not counted.
        assert_eq!(samples.len(), 1, "{row}");
    }
    let facts = document["fingerprint"]["facts"].to_string();
    for name in ["QEMU", "accelerator", "guest kernel", "fio"] {
        assert!(facts.contains(&format!("[\"{name}\",")), "{name} is not in {facts}");
    }
    let mut left: Vec<_> = fs::read_dir(&out_dir)
        .expect("it is there")
        .map(|entry| entry.expect("listed").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["io.html", "io.json"]);
}

#[test]
fn a_share_that_is_named_and_cannot_be_had_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let output = bench(directory.path(), "embedded,disk").output().expect("kiln can be started");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("there is no share \"embedded\""), "{}", said(&output));

    let empty = directory.path().join("nothing");
    fs::create_dir(&empty).expect("made");
    let mut without = bench(directory.path(), "spawned-auto");
    let output = without.env("QEMU_VIRTIOFS_PATH", &empty).output().expect("kiln can be started");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("--shares spawned-auto"), "{}", said(&output));
    assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 1, "nothing is left");
}
