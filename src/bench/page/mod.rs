//! The result as one HTML page that needs nothing else: charts as SVG, a table below each, no script and no file from elsewhere.
//! Readable in black and white, in light and dark, and by a program that reads pages aloud. Pure.

mod chart;
mod escape;
mod look;
mod scale;

use self::{
    chart::chart,
    escape::text,
    look::{Look, definitions},
};
use super::{
    document::{Document, Row},
    model::{Scenario, Unit, Variant, three_digits},
    statistics::{FEWEST_SAMPLES, Quartiles},
};

/// Scripts and files from elsewhere are forbidden: the page has texts that a document brings along.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page.
pub fn page(document: &Document) -> String {
    let title = text(&format!("kiln bench {}", document.suite));
    let style = include_str!("style.css");
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{}<main>\n<h1>{title}</h1>\n",
        definitions()
    );
    page += &introduction(document);
    for (number, (group, scenarios)) in document.groups().into_iter().enumerate() {
        page += &format!("<section>\n<h2>{}</h2>\n", text(group));
        page += &legend(&measured(document, &scenarios));
        page += &chart(document, number, group, &scenarios);
        page += &table(document, group, &scenarios);
        page += "</section>\n";
    }
    page += &machine(document);
    page + "</main>\n</body>\n</html>\n"
}

/// How the charts are to be read.
fn introduction(document: &Document) -> String {
    let reference = document.variants.iter().find(|variant| variant.reference).map(|reference| {
        let title = text(&reference.title);
        format!(
            " × is the ratio to {title}. The tables have its interval: where 1 is outside, and there are {FEWEST_SAMPLES} samples or more on \
             both sides, the samples show a difference."
        )
    });
    format!(
        "<p class=\"quiet\">A bar is the median, the line across its end goes from the lower to the upper quartile, and each mark \
         below it is a sample.{}</p>\n",
        reference.unwrap_or_default()
    )
}

/// The variants that a group has, with their numbers.
fn measured<'a>(document: &'a Document, scenarios: &[&Scenario]) -> Vec<(usize, &'a Variant)> {
    let has = |variant: &Variant| {
        scenarios.iter().any(|scenario| document.row(&scenario.id, &variant.id).is_some())
    };
    document.variants.iter().enumerate().filter(|(_, variant)| has(variant)).collect()
}

fn legend(variants: &[(usize, &Variant)]) -> String {
    let entry = |(number, variant): &(usize, &Variant)| {
        let look = Look::of(*number);
        let reference = if variant.reference { " (reference)" } else { "" };
        format!(
            "<li><svg viewBox=\"0 0 54 18\" aria-hidden=\"true\">{}{}</svg>{}{reference}</li>\n",
            look.bar(1.0, 2.0, 32.0, 14.0),
            look.mark("sample", 45.0, 9.0),
            text(&variant.title)
        )
    };
    let entries: String = variants.iter().map(entry).collect();
    format!("<ul class=\"legend\">\n{entries}</ul>\n")
}

/// The figures of a group: a row for each variant of each scenario.
fn table(document: &Document, group: &str, scenarios: &[&Scenario]) -> String {
    let mut body = String::new();
    for scenario in scenarios {
        let rows: Vec<(&Variant, &Row)> = document
            .variants
            .iter()
            .filter_map(|variant| Some((variant, document.row(&scenario.id, &variant.id)?)))
            .collect();
        for (number, (variant, row)) in rows.iter().enumerate() {
            let span = rows.len();
            let title = match number {
                0 => format!("<th scope=\"rowgroup\" rowspan=\"{span}\">{}</th>", text(&scenario.title)),
                _ => String::new(),
            };
            let name = text(&variant.title);
            body += &format!("<tr>{title}<th scope=\"row\">{name}</th>{}</tr>\n", cells(row, scenario.unit));
        }
    }
    let heads: String = ["scenario", "variant", "median", "quartiles", "samples", "ratio", "95 % interval"]
        .map(|head| format!("<th scope=\"col\">{head}</th>"))
        .concat();
    format!(
        "<div class=\"scroll\"><table>\n<caption>{}: the figures of the chart</caption>\n<thead><tr>{heads}</tr></thead>\n\
         <tbody>\n{body}</tbody>\n</table></div>\n",
        text(group)
    )
}

/// The figures of a row. The quartiles are in the unit of the median.
fn cells(row: &Row, unit: Unit) -> String {
    let Quartiles { lower, median, upper } = row.quartiles;
    let (factor, _) = unit.prefix(median);
    let [lower, upper] = [lower, upper].map(|value| three_digits(value / factor));
    let (ratio, interval) = match row.ratio {
        Some(ratio) => (
            format!("{}×", three_digits(ratio.ratio)),
            format!("{} to {}", three_digits(ratio.low), three_digits(ratio.high)),
        ),
        None => ("–".into(), "–".into()),
    };
    [unit.format(median), format!("{lower} to {upper}"), row.samples.len().to_string(), ratio, interval]
        .map(|cell| format!("<td>{cell}</td>"))
        .concat()
}

/// The fingerprint and the options.
fn machine(document: &Document) -> String {
    let load = document.fingerprint.load_average;
    let more = [
        ("load average".to_owned(), format!("{:.2} at the start, {:.2} at the end", load.start, load.end)),
        ("seed".to_owned(), document.seed.to_string()),
    ];
    let facts = document.fingerprint.facts.iter().chain(&document.options).chain(&more);
    let rows: String = facts
        .map(|(name, value)| {
            format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", text(name), text(value))
        })
        .collect();
    format!(
        "<section>\n<h2>Machine and options</h2>\n<div class=\"scroll\"><table>\n<caption>What the figures depend on</caption>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::fixture::document;

    #[test]
    fn texts_of_the_document_are_texts_of_the_page() {
        let page = page(&document());
        assert!(page.contains("A &lt;CPU&gt; &amp; more") && page.contains("read &amp; &lt;write&gt;"));
        assert!(!page.contains("<CPU>") && !page.contains("<write>"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = page(&document());
        for forbidden in ["<script", "http://", "https://", "@import", "src=", "href="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn each_group_has_a_chart_a_legend_and_a_table_with_its_figures() {
        let page = page(&document());
        for (part, count) in [
            ("<svg class=\"chart\"", 2),
            ("<ul class=\"legend\"", 2),
            ("<caption>", 3),
            ("<desc id=", 2),
            // Every sample of every row.
            ("class=\"sample\"", 23 + 3 + 2),
            ("kiln build</th><td>1.80 s</td><td>1.70 to 1.90</td><td>5</td><td>1.50×</td><td>1.", 1),
            // The reference in two scenarios, and a scenario without it.
            ("<td>–</td><td>–</td>", 3),
            ("rowspan=\"3\">cold start</th>", 1),
        ] {
            assert_eq!(page.matches(part).count(), count, "{part}");
        }
    }
}
