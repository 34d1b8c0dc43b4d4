use serde_json::{Value, json};

use super::*;
use crate::{
    bench::Unit,
    exit::{Code, code_of},
};

fn document() -> Document {
    let text = json!({
        "schema": SCHEMA,
        "suite": "demo",
        "seed": 7,
        "options": [["rounds", "4"]],
        "fingerprint": { "facts": [["kiln", "1"]], "load_average": { "start": 0.5, "end": 1.0 } },
        "variants": [
            { "id": "a", "title": "A", "reference": true },
            { "id": "b", "title": "B", "reference": false },
        ],
        "scenarios": [
            { "id": "x", "title": "X", "group": "one", "unit": "seconds" },
            { "id": "y", "title": "Y", "group": "two", "unit": "bytes_per_second" },
            { "id": "z", "title": "Z", "group": "one", "unit": "seconds" },
        ],
        "results": [
            row("x", "a", &[2.0, 2.0, 2.0, 2.0]),
            row("x", "b", &[3.0, 3.0, 3.0, 3.0]),
            row("y", "b", &[5.0, 1.0, 3.0]),
        ],
    });
    Document::parse(text.to_string().as_bytes()).expect("the document is right")
}

fn row(scenario: &str, variant: &str, samples: &[f64]) -> Value {
    let quartiles = json!({ "lower": 9, "median": 9, "upper": 9 });
    json!({ "scenario": scenario, "variant": variant, "samples": samples, "quartiles": quartiles, "ratio": null })
}

#[test]
fn what_can_be_computed_is_computed_from_the_samples() {
    let document = document();
    let row = document.row("x", "b").expect("it is there");
    assert_eq!(row.quartiles, Quartiles { lower: 3.0, median: 3.0, upper: 3.0 });
    assert_eq!(row.ratio, Some(Interval { ratio: 1.5, low: 1.5, high: 1.5 }));
    assert_eq!(document.row("x", "a").and_then(|row| row.ratio), None);
    // The reference was not measured there.
    assert_eq!(document.row("y", "b").and_then(|row| row.ratio), None);
    assert_eq!(document.row("y", "a"), None);
    let groups: Vec<(&str, usize)> =
        document.groups().into_iter().map(|(name, scenarios)| (name, scenarios.len())).collect();
    // Nothing was measured in the third scenario.
    assert_eq!(groups, [("one", 1), ("two", 1)]);
    assert_eq!(document.scenarios[1].unit, Unit::BytesPerSecond);
}

#[test]
fn a_document_that_was_written_is_read_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("demo.json");
    document().write(&path).unwrap();
    assert_eq!(Document::read(&path).unwrap(), document());
}

#[test]
fn foreign_documents_are_refused_with_the_reason() {
    let good = serde_json::to_value(document()).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).expect("it is there") = value;
        changed.to_string()
    };
    let long = "x".repeat(MOST_CHARACTERS + 1);
    let facts = vec![json!(["a", "b"]); MOST_NAMES + 1];
    let samples = vec![1.0; MOST_SAMPLES + 1];
    for (text, why) in [
        ("text".to_owned(), "no JSON document with a schema"),
        ("{}".to_owned(), "missing field `schema`"),
        ("[".repeat(100_000), "no JSON document with a schema"),
        (changed("/schema", json!("kiln-bench/2")), "its schema is \"kiln-bench/2\", not \"kiln-bench/1\""),
        (changed("/seed", json!(-1)), "it is not as kiln-bench/1 is"),
        (changed("/scenarios/0/unit", json!("metres")), "unknown variant `metres`"),
        (changed("/fingerprint/facts", json!(facts)), "201 facts, more than 200"),
        (changed("/variants/0/title", json!(long)), "more than 300 characters"),
        (changed("/variants/0/id", json!("b")), "two variants with the id \"b\""),
        (changed("/scenarios/0/id", json!("z")), "two scenarios with the id \"z\""),
        (changed("/variants/1/reference", json!(true)), "more than one reference"),
        (changed("/results/0/scenario", json!("other")), "a row of an unknown scenario"),
        (changed("/results/1/variant", json!("a")), "two of the same"),
        (changed("/results/0/samples", json!([])), "0 samples"),
        (changed("/results/0/samples", json!(samples)), "10001 samples"),
        (changed("/results/0/samples/0", json!(-1)), "a sample is neither 0"),
        (changed("/results/0/samples/0", json!(1e300)), "a sample is neither 0"),
        (changed("/scenarios/2/unit", json!("bytes_per_second")), "\"one\" has more than one unit"),
    ] {
        let error = Document::parse(text.as_bytes()).expect_err(why);
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn a_file_that_is_not_there_or_too_large_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    let error = Document::read(&path).unwrap_err();
    assert_eq!(code_of(&error), Code::Usage);
    assert!(error.to_string().contains("a.json cannot be compared: No such file"), "{error}");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(MOST_BYTES as u64 + 2).unwrap();
    assert!(Document::read(&path).unwrap_err().to_string().contains("more than 16 MiB"));
}
