//! The chart of one group as SVG: for each scenario the bars of its variants, with the quartiles as a range, and each sample as a mark
//! below its bar. Bars begin at 0; on a logarithmic axis there are medians without bars, since a length says nothing there.

use super::{escape::text, look::Look, scale::Scale};
use crate::bench::{Better, Document, Row, Scenario, Unit, model::three_digits};

/// The width of a chart; a browser scales it to that of the page.
const WIDTH: f64 = 900.0;
/// Where the axis begins and ends. Left of it are the names of variants, right of it is room for a bar's figures.
const LEFT: f64 = 284.0;
const RIGHT: f64 = 764.0;
/// The line with the title of a scenario.
const TITLE: f64 = 24.0;
/// A variant: its bar, the marks of its samples, and the space to the next.
const BAR: f64 = 14.0;
const MARKS: f64 = 12.0;
const ROW: f64 = 34.0;
/// The space below a scenario.
const SPACE: f64 = 8.0;
/// The labels of the axis and its title.
const AXIS: f64 = 46.0;

/// A chart that grows downwards.
struct Chart {
    unit: Unit,
    scale: Scale,
    y: f64,
    body: String,
}

/// The chart. `number` makes the ids of the page's charts differ.
pub(super) fn chart(document: &Document, number: usize, group: &str, scenarios: &[&Scenario]) -> String {
    let rows: Vec<&Row> = document
        .results
        .iter()
        .filter(|row| scenarios.iter().any(|scenario| scenario.id == row.scenario))
        .collect();
    let samples: Vec<f64> = rows.iter().flat_map(|row| row.samples.iter().copied()).collect();
    let medians: Vec<f64> = rows.iter().map(|row| row.quartiles.median).collect();
    let unit = scenarios.first().map_or(Unit::Seconds, |scenario| scenario.unit);
    let mut chart = Chart { unit, scale: Scale::new(&medians, &samples), y: 0.0, body: String::new() };
    for scenario in scenarios {
        chart.scenario(document, scenario);
    }
    let (axis, height) = chart.axis();
    let description = description(document, scenarios, chart.unit);
    let body = &chart.body;
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title-{number} description-{number}\">\n\
         <title id=\"title-{number}\">{}</title>\n<desc id=\"description-{number}\">{description}</desc>\n\
         <clipPath id=\"names-{number}\"><rect x=\"0\" y=\"0\" width=\"{}\" height=\"{height}\"/></clipPath>\n\
         {axis}<g class=\"names\" clip-path=\"url(#names-{number})\">\n{}</g>\n{body}</svg>\n",
        text(group),
        LEFT - 6.0,
        names(document, scenarios),
    )
}

/// The names of the variants beside their bars. A long one is cut at the axis; the table has all of it.
fn names(document: &Document, scenarios: &[&Scenario]) -> String {
    let mut names = String::new();
    let mut y = 0.0;
    for scenario in scenarios {
        y += TITLE;
        for variant in document.variants.iter().filter(|one| document.row(&scenario.id, &one.id).is_some()) {
            names += &format!(
                "<text class=\"name\" x=\"12\" y=\"{:.1}\">{}</text>\n",
                y + BAR - 2.5,
                text(&variant.title)
            );
            y += ROW;
        }
        y += SPACE;
    }
    names
}

impl Chart {
    /// The place of a value.
    fn x(&self, value: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * self.scale.place(value)
    }

    fn scenario(&mut self, document: &Document, scenario: &Scenario) {
        let title = text(&scenario.title);
        self.body +=
            &format!("<text class=\"scenario\" x=\"0\" y=\"{:.1}\">{title}</text>\n", self.y + TITLE - 9.0);
        self.y += TITLE;
        for (number, variant) in document.variants.iter().enumerate() {
            if let Some(row) = document.row(&scenario.id, &variant.id) {
                self.row(row, Look::of(number), &format!("{}: {}", scenario.title, variant.title));
                self.y += ROW;
            }
        }
        self.y += SPACE;
    }

    /// A bar, the range of its quartiles, its figures, and the samples below it.
    fn row(&mut self, row: &Row, look: Look, name: &str) {
        let [lower, median, upper] =
            [row.quartiles.lower, row.quartiles.median, row.quartiles.upper].map(|value| self.x(value));
        let y = self.y;
        let middle = y + BAR / 2.0;
        let figure = self.unit.format(row.quartiles.median);
        let ratio =
            row.ratio.map(|interval| format!(" · {}×", three_digits(interval.ratio))).unwrap_or_default();
        self.body += &format!(
            "<g data-value=\"{:e}\"><title>{}: {figure}{ratio}</title>",
            row.quartiles.median,
            text(name)
        );
        // The range lies on the end of a bar, and below the mark of a median.
        let (below, above) = match self.scale {
            Scale::Linear { .. } => (look.bar(LEFT, y, median - LEFT, BAR), String::new()),
            Scale::Logarithmic { .. } => (String::new(), look.mark("median", median, middle)),
        };
        let range = format!(
            "M{lower:.2} {middle:.2}H{upper:.2}M{lower:.2} {:.2}V{:.2}M{upper:.2} {:.2}V{:.2}",
            y + 3.0,
            y + BAR - 3.0,
            y + 3.0,
            y + BAR - 3.0
        );
        self.body += &format!(
            "{below}<path class=\"halo\" d=\"{range}\"/><path class=\"range\" d=\"{range}\"/>{above}"
        );
        let end = upper.max(median) + 8.0;
        self.body += &format!(
            "<text class=\"figure\" x=\"{end:.2}\" y=\"{:.2}\">{figure}{ratio}</text>",
            y + BAR - 2.5
        );
        for sample in &row.samples {
            self.body += &look.mark("sample", self.x(*sample), y + BAR + MARKS / 2.0 + 1.0);
        }
        self.body += "</g>\n";
    }

    /// Lines and labels of the ticks and the title of the axis; and the height of the whole chart.
    fn axis(&self) -> (String, f64) {
        let (ticks, unit) = self.scale.ticks(self.unit);
        let bottom = self.y;
        let mut axis = String::from("<g class=\"axis\">\n");
        for (value, label) in ticks {
            let x = self.x(value);
            axis += &format!(
                "<path class=\"grid\" d=\"M{x:.2} 0V{:.2}\"/><text class=\"tick\" x=\"{x:.2}\" y=\"{:.2}\">{label}</text>\n",
                bottom + 4.0,
                bottom + 17.0
            );
        }
        let what = match self.unit {
            Unit::Seconds => "time",
            Unit::BytesPerSecond | Unit::OperationsPerSecond => "throughput",
        };
        let unit = if unit.is_empty() { ", logarithmic".to_owned() } else { format!(" in {unit}") };
        let better = match self.unit.better() {
            Better::Lower => "less is better",
            Better::Higher => "more is better",
        };
        axis += &format!(
            "<text class=\"label\" x=\"{:.2}\" y=\"{:.2}\">{what}{unit} ({better})</text>\n</g>\n",
            f64::midpoint(LEFT, RIGHT),
            bottom + 36.0
        );
        (axis, bottom + AXIS)
    }
}

/// What the chart shows, for a reader that does not see it.
fn description(document: &Document, scenarios: &[&Scenario], unit: Unit) -> String {
    let mut sentences = Vec::new();
    for scenario in scenarios {
        let medians = document.variants.iter().filter_map(|variant| {
            let row = document.row(&scenario.id, &variant.id)?;
            Some(format!("{} {}", variant.title, unit.format(row.quartiles.median)))
        });
        sentences.push(format!("{}: {}.", scenario.title, medians.collect::<Vec<_>>().join(", ")));
    }
    text(&format!("Medians. {}", sentences.join(" ")))
}
