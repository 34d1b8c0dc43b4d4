//! How a variant looks: a colour, a pattern and the shape of its samples, so that two of them differ for every reader.

/// The colours of Okabe and Ito (2008), which people with any kind of colour blindness tell apart; the first one first. Their eighth
/// is black, which would be lost on a dark page.
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"];

/// The lines of a pattern, on a tile of 8 × 8.
const PATTERNS: [&str; 6] = [
    "",
    "M-2 2 2 -2M0 8 8 0M6 10 10 6",
    "M0 2H8M0 6H8",
    "M2 0V8M6 0V8",
    "M0 0 8 8M0 8 8 0",
    "M4 3V5M0 7V8M8 7V8M0 0V1M8 0V1",
];

/// Outlines of samples, around 0 0.
const SHAPES: [&str; 7] = [
    "M-3.5 0A3.5 3.5 0 1 1 3.5 0A3.5 3.5 0 1 1 -3.5 0Z",
    "M-3 -3H3V3H-3Z",
    "M0 -4 4 3H-4Z",
    "M0 -4.5 4.5 0 0 4.5 -4.5 0Z",
    "M-4 -3H4L0 4Z",
    "M-1.3 -4H1.3V-1.3H4V1.3H1.3V4H-1.3V1.3H-4V-1.3H-1.3Z",
    "M-4 -4 0 -1.5 4 -4 1.5 0 4 4 0 1.5 -4 4 -1.5 0Z",
];

/// The look of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) colour: &'static str,
    /// The number of the pattern; 0 is none.
    pub(super) pattern: usize,
    /// The data of a path.
    pub(super) shape: &'static str,
}

impl Look {
    /// That of the variant with this number. 210 of them differ, which is more than a document may have.
    pub(super) fn of(variant: usize) -> Self {
        Self {
            colour: COLOURS[variant % COLOURS.len()],
            pattern: variant % PATTERNS.len(),
            // Seven colours and six patterns repeat together after 42 variants.
            shape: SHAPES[(variant + variant / (COLOURS.len() * PATTERNS.len())) % SHAPES.len()],
        }
    }

    /// A bar: its area in the colour, with the pattern and an outline that is seen on any page. Two elements.
    pub(super) fn bar(self, x: f64, y: f64, width: f64, height: f64) -> String {
        let Self { colour, pattern, .. } = self;
        let place = format!("x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"");
        let area = format!("<rect class=\"bar\" {place} fill=\"{colour}\"/>");
        match pattern {
            0 => area,
            pattern => format!("{area}<rect class=\"pattern\" {place} fill=\"url(#pattern-{pattern})\"/>"),
        }
    }

    /// A sample.
    pub(super) fn mark(self, class: &str, x: f64, y: f64) -> String {
        let Self { colour, shape, .. } = self;
        format!(
            "<path class=\"{class}\" d=\"{shape}\" transform=\"translate({x:.2} {y:.2})\" fill=\"{colour}\"/>"
        )
    }
}

/// The definitions of the patterns, which all charts of a page use.
pub(super) fn definitions() -> String {
    let patterns = PATTERNS.iter().enumerate().skip(1).map(|(number, lines)| {
        format!(
            "<pattern id=\"pattern-{number}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><path d=\"{lines}\"/></pattern>"
        )
    });
    let patterns: String = patterns.collect();
    // Without `display: none`, in which browsers draw no pattern.
    format!(
        "<svg class=\"definitions\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>{patterns}</defs></svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_variants_of_a_document_look_alike() {
        let looks: BTreeSet<_> =
            (0..200).map(Look::of).map(|look| (look.colour, look.pattern, look.shape)).collect();
        assert_eq!(looks.len(), 200);
        // Without colours a pattern tells the first ones apart, as does a shape.
        assert!((0..6).map(|variant| Look::of(variant).pattern).collect::<BTreeSet<_>>().len() == 6);
        assert!((0..7).map(|variant| Look::of(variant).shape).collect::<BTreeSet<_>>().len() == 7);
    }
}
