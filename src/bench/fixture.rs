//! A small result with all that a result can have, for tests of what shows it.

use serde_json::json;

use super::Document;

/// Two groups with different units, three variants of which not all are in each group, a title with markup in it.
pub(super) fn document() -> Document {
    let row = |scenario: &str, variant: &str, samples: &[f64]| {
        let quartiles = json!({ "lower": 0, "median": 0, "upper": 0 });
        json!({ "scenario": scenario, "variant": variant, "samples": samples, "quartiles": quartiles, "ratio": null })
    };
    let scenario = |id: &str, title: &str, group: &str, unit: &str| json!({ "id": id, "title": title, "group": group, "unit": unit });
    let variant = |id: &str, title: &str| json!({ "id": id, "title": title, "reference": id == "bare" });
    let text = json!({
        "schema": "kiln-bench/1",
        "suite": "demo",
        "seed": 7,
        "options": [["rounds", "5"]],
        "fingerprint": {
            "facts": [["kiln", "0.1.0"], ["processor", "A <CPU> & more"]],
            "load_average": { "start": 0.5, "end": 1.0 },
        },
        "variants": [variant("bare", "bare boot"), variant("kiln", "kiln build"), variant("vng", "virtme-ng")],
        "scenarios": [
            scenario("start", "cold start", "Start", "seconds"),
            scenario("read", "read & <write>", "Throughput", "bytes_per_second"),
            scenario("list", "a directory", "Throughput", "bytes_per_second"),
        ],
        "results": [
            row("start", "bare", &[1.2, 1.2, 1.2, 1.2, 1.2]),
            row("start", "kiln", &[1.7, 1.9, 1.8, 1.6, 2.0]),
            row("start", "vng", &[14.4, 14.0, 15.0, 13.5, 15.5]),
            row("read", "bare", &[200e6, 200e6, 200e6]),
            row("list", "kiln", &[12.5e6, 12e6, 13e6, 11e6, 14e6]),
        ],
    });
    Document::parse(text.to_string().as_bytes()).expect("the document is right")
}
