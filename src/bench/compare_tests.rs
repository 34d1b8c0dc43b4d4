use super::*;
use crate::bench::fixture::document;

/// The fixture, with other samples for `kiln` in the scenario `start`, and for it in `list`.
fn changed(start: &[f64], list: &[f64]) -> Document {
    let mut document = document();
    for row in document.results.iter_mut().filter(|row| row.variant == "kiln") {
        row.samples = if row.scenario == "start" { start.to_vec() } else { list.to_vec() };
    }
    // As it would be read from a file: computed anew.
    let text = serde_json::to_string(&document).expect("it is JSON");
    Document::parse(text.as_bytes()).expect("it is right")
}

fn findings(after: &Document) -> Vec<Finding> {
    let comparison = Comparison::new(&document(), after).expect("they can be compared");
    comparison.changes.iter().map(|change| change.finding).collect()
}

#[test]
fn a_result_does_not_differ_from_itself() {
    let comparison = Comparison::new(&document(), &document()).unwrap();
    assert_eq!(comparison.differences, []);
    assert_eq!(comparison.unmatched, 0);
    use Finding::{NoDifference as No, TooFewSamples as Few};
    // The fourth has three samples.
    assert_eq!(findings(&document()), [No, No, No, Few, No]);
    assert_eq!(comparison.regressions(0.0).count(), 0);
}

#[test]
fn more_time_and_less_throughput_are_slower() {
    let slower = changed(&[3.4, 3.8, 3.6, 3.2, 4.0], &[6.5e6, 6e6, 6.5e6, 5.5e6, 7e6]);
    assert_eq!(findings(&slower)[1], Finding::Slower);
    assert_eq!(findings(&slower)[4], Finding::Slower);
    let faster = changed(&[0.9, 0.8, 0.85, 0.95, 1.0], &[25e6, 24e6, 26e6, 22e6, 28e6]);
    assert_eq!(findings(&faster)[1], Finding::Faster);
    assert_eq!(findings(&faster)[4], Finding::Faster);
}

#[test]
fn a_regression_is_slower_by_more_than_the_percentage() {
    let slower = changed(&[1.785, 1.995, 1.89, 1.68, 2.1], &[12.5e6, 12e6, 13e6, 11e6, 14e6]);
    let comparison = Comparison::new(&document(), &slower).unwrap();
    // The medians are 1.89 and 1.8, which is 5 % more, and their samples overlap.
    assert_eq!(comparison.changes[1].finding, Finding::NoDifference);
    let slower = changed(&[2.7, 2.71, 2.7, 2.7, 2.7], &[12.5e6, 12e6, 13e6, 11e6, 14e6]);
    let comparison = Comparison::new(&document(), &slower).unwrap();
    for (percent, count) in [(0.0, 1), (49.0, 1), (51.0, 0)] {
        assert_eq!(comparison.regressions(percent).count(), count, "{percent}");
    }
}

#[test]
fn other_machines_and_other_benchmarks_are_said() {
    let mut other = document();
    other.fingerprint.facts[0].1 = "0.2.0".into();
    let comparison = Comparison::new(&document(), &other).unwrap();
    assert!(!comparison.is_of_two_machines());
    other.fingerprint.facts[1].1 = "B".into();
    other.options[0].1 = "9".into();
    let comparison = Comparison::new(&document(), &other).unwrap();
    assert!(comparison.is_of_two_machines());
    let names: Vec<&str> = comparison.differences.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["kiln", "processor", "rounds"]);
    other.suite = "other".into();
    let error = Comparison::new(&document(), &other).unwrap_err();
    assert_eq!(error.what, "one result is of demo, the other of other");
}

#[test]
fn rows_that_only_one_has_are_counted() {
    let mut other = document();
    other.results.retain(|row| row.scenario == "start");
    let comparison = Comparison::new(&document(), &other).unwrap();
    assert_eq!((comparison.changes.len(), comparison.unmatched), (3, 2));
    other.scenarios[0].unit = Unit::BytesPerSecond;
    assert!(Comparison::new(&document(), &other).is_err());
}
