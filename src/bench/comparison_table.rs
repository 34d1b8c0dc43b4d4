//! A comparison for a terminal: what differs between the machines, and a line for each row. Pure.

use super::{
    columns::aligned,
    compare::{Change, Comparison, Finding},
    model::three_digits,
    statistics::{FEWEST_SAMPLES, Interval},
};

/// The text. Lines end with a newline.
pub fn comparison_table(comparison: &Comparison) -> String {
    let mut text = warning(comparison);
    let mut group = "";
    let mut rows = Vec::new();
    for change in &comparison.changes {
        if change.group != group {
            group = &change.group;
            rows.push(vec![group.to_owned(), "before".into(), "after".into(), "ratio [95 %]".into()]);
        }
        rows.push(row(change));
    }
    text += &aligned(&rows);
    if comparison.unmatched > 0 {
        text += &format!("\n{} rows are in one of the results only.\n", comparison.unmatched);
    }
    let count =
        |finding: Finding| comparison.changes.iter().filter(|change| change.finding == finding).count();
    text += &format!(
        "\n{} faster, {} slower, {} without a difference that the samples can show. Of 20 rows without a real difference, one shows \
         one by chance.\n",
        count(Finding::Faster),
        count(Finding::Slower),
        count(Finding::NoDifference) + count(Finding::TooFewSamples),
    );
    text
}

/// Different machines, in capitals: their figures say little about two versions of a program.
fn warning(comparison: &Comparison) -> String {
    if comparison.differences.is_empty() {
        return String::new();
    }
    let heading = if comparison.is_of_two_machines() {
        "WARNING: THE RESULTS ARE OF DIFFERENT MACHINES, PROGRAMS OR OPTIONS. Their rows differ for these reasons, too:\n"
    } else {
        "These differ:\n"
    };
    let shown = |value: &str| if value.is_empty() { "none".to_owned() } else { value.to_owned() };
    let rows: Vec<Vec<String>> = comparison
        .differences
        .iter()
        .map(|(name, before, after)| vec![format!("  {name}"), shown(before), "->".into(), shown(after)])
        .collect();
    format!("{heading}{}\n", aligned(&rows))
}

fn row(change: &Change) -> Vec<String> {
    let ratio = change.ratio.map_or_else(
        || "-".to_owned(),
        |Interval { ratio, low, high }| {
            let [ratio, low, high] = [ratio, low, high].map(three_digits);
            format!("{ratio}x [{low}, {high}]")
        },
    );
    let finding = match change.finding {
        Finding::Faster => "faster".to_owned(),
        Finding::Slower => "SLOWER".to_owned(),
        Finding::NoDifference => "no difference".to_owned(),
        Finding::TooFewSamples => format!("fewer than {FEWEST_SAMPLES} samples"),
    };
    vec![
        format!("  {}: {}", change.scenario, change.variant),
        change.unit.format(change.before),
        change.unit.format(change.after),
        ratio,
        finding,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::fixture::document;

    #[test]
    fn each_row_says_what_the_samples_show() {
        let comparison = Comparison::new(&document(), &document()).unwrap();
        let text = comparison_table(&comparison);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], "Start before after ratio [95 %]");
        assert!(lines[2].starts_with("cold start: kiln build 1.80 s 1.80 s 1.00x [0."), "{text}");
        assert!(lines[2].ends_with("] no difference"), "{text}");
        assert!(lines[5].ends_with("1.00x [1.00, 1.00] fewer than 4 samples"), "{text}");
        assert!(lines[8].starts_with("0 faster, 0 slower, 5 without"), "{text}");
    }

    #[test]
    fn different_machines_are_said_first() {
        let mut other = document();
        other.fingerprint.facts[1].1 = "B".into();
        let text = comparison_table(&Comparison::new(&document(), &other).unwrap());
        assert!(text.starts_with("WARNING: THE RESULTS ARE OF DIFFERENT MACHINES"), "{text}");
        assert!(text.contains("  processor  A <CPU> & more  ->  B\n"), "{text}");
        other.fingerprint.facts[1] = document().fingerprint.facts[1].clone();
        other.fingerprint.facts[0].1 = "0.2.0".into();
        let text = comparison_table(&Comparison::new(&document(), &other).unwrap());
        assert!(text.starts_with("These differ:\n  kiln  0.1.0  ->  0.2.0\n"), "{text}");
    }
}
