//! The result as a table for a terminal: a row for each scenario, by groups; for each variant the median, the spread, and the ratio to
//! the reference. Pure.

use super::{
    columns::aligned,
    document::{Document, Row},
    model::{Scenario, Unit, three_digits},
};

/// The table, and a line that explains its columns. Lines end with a newline.
pub fn table(document: &Document) -> String {
    let mut rows = Vec::new();
    for (group, scenarios) in document.groups() {
        let measured = |id: &str| scenarios.iter().any(|scenario| document.row(&scenario.id, id).is_some());
        let variants: Vec<_> = document.variants.iter().filter(|variant| measured(&variant.id)).collect();
        let titles = variants.iter().map(|variant| variant.title.clone());
        rows.push([group.to_owned()].into_iter().chain(titles).collect());
        for scenario in scenarios {
            let cells = variants.iter().map(|variant| {
                document.row(&scenario.id, &variant.id).map_or_else(|| "-".into(), |row| cell(row, scenario))
            });
            rows.push([format!("  {}", scenario.title)].into_iter().chain(cells).collect());
        }
        rows.push(Vec::new());
    }
    aligned(&rows) + &legend(document)
}

/// `1.84 s (1.80-1.92) 1.31x`.
fn cell(row: &Row, scenario: &Scenario) -> String {
    let ratio = row.ratio.map(|interval| format!(" {}x", three_digits(interval.ratio))).unwrap_or_default();
    let (median, spread) = (scenario.unit.format(row.quartiles.median), spread(row, scenario.unit));
    format!("{median} ({spread}){ratio}")
}

/// The quartiles in the unit of the median.
fn spread(row: &Row, unit: Unit) -> String {
    let (factor, _) = unit.prefix(row.quartiles.median);
    format!("{}-{}", three_digits(row.quartiles.lower / factor), three_digits(row.quartiles.upper / factor))
}

fn legend(document: &Document) -> String {
    let reference = document.variants.iter().find(|variant| variant.reference);
    let ratio = reference.map(|reference| format!(", ratio to {}", reference.title)).unwrap_or_default();
    let counts = document.results.iter().map(|row| row.samples.len());
    let (least, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
    let counts = if least == most { most.to_string() } else { format!("{least} to {most}") };
    format!("median (quartiles){ratio}; {counts} samples each\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::fixture::document;

    #[test]
    fn rows_are_scenarios_and_columns_are_variants_that_the_group_has() {
        let expected = "\
Start            bare boot             kiln build              virtme-ng
  cold start     1.20 s (1.20-1.20)    1.80 s (1.70-1.90) 1.50x  14.4 s (14.0-15.0) 12.0x

Throughput       bare boot             kiln build
  read & <write>  200 MB/s (200-200)   -
  a directory     -                    12.5 MB/s (12.0-13.0)

median (quartiles), ratio to bare boot; 3 to 5 samples each
";
        let squeezed = |text: &str| {
            let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            text.lines().map(line).collect::<Vec<_>>()
        };
        let table = table(&document());
        assert_eq!(squeezed(&table), squeezed(expected), "{table}");
        // Columns begin at the same place in all lines that have them.
        let place = |line: &str, text: &str| line.find(text).expect(text);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(place(lines[0], "kiln build"), place(lines[1], "1.80 s"));
        assert_eq!(place(lines[0], "kiln build"), place(lines[5], "12.5 MB/s"));
    }
}
