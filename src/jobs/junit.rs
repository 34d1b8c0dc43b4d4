//! Outcomes as JUnit XML, in the form that CI systems read: one suite, a test case for each job.

use std::fmt::Write as _;

use super::outcome::{JobOutcome, Report};

/// The document; `suite` is its name.
pub(crate) fn junit(report: &Report, suite: &str) -> String {
    let [_, failures, skipped] = report.numbers();
    let (suite, tests) = (escaped(suite), report.jobs.len());
    let seconds: f64 = report.jobs.iter().map(|(_, _, duration)| duration.as_secs_f64()).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{suite}\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n"
    );
    for (job, outcome, duration) in &report.jobs {
        let (name, class, seconds) = (escaped(&job.name), escaped(&job.file), duration.as_secs_f64());
        let case = format!("    <testcase name=\"{name}\" classname=\"{class}\" time=\"{seconds:.3}\"");
        let inside = match outcome {
            JobOutcome::Succeeded | JobOutcome::Finished => None,
            JobOutcome::Failed { code, error } => {
                let message = escaped(error.lines().next().unwrap_or_default());
                let whole = escaped(error);
                Some(format!("<failure message=\"{message}\" type=\"exit status {code}\">{whole}</failure>"))
            }
            JobOutcome::Skipped { because } => {
                Some(format!("<skipped message=\"it needs {}\"/>", escaped(because)))
            }
            JobOutcome::Interrupted => Some("<skipped message=\"interrupted\"/>".to_owned()),
        };
        // Writing to a String cannot fail.
        let _ = match inside {
            None => writeln!(text, "{case}/>"),
            Some(inside) => writeln!(text, "{case}>\n      {inside}\n    </testcase>"),
        };
    }
    text + "  </testsuite>\n</testsuites>\n"
}

/// A text for an attribute or an element. XML 1.0 has no form for most control characters: they become U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped += "&#10;",
            '\t' => escaped += "&#9;",
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            char if char.is_control() => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::outcome::tests::report;

    #[test]
    fn the_document_is_well_formed_whatever_an_error_says() {
        let text = junit(&report(), "tests \"of\" x");
        assert!(text.contains("<testsuite name=\"tests &quot;of&quot; x\" tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"3.500\">"), "{text}");
        assert!(text.contains("<testcase name=\"a\" classname=\"a.yaml\" time=\"1.500\"/>"), "{text}");
        assert!(
            text.contains("<failure message=\"step 1 &lt;x&gt; &amp; \u{fffd}\" type=\"exit status 5\">step 1 &lt;x&gt; &amp; \u{fffd}&#10;more</failure>"),
            "{text}"
        );
        assert!(text.contains("<skipped message=\"it needs bb\"/>"), "{text}");
        assert_eq!(text.matches('<').count(), text.matches('>').count());
    }
}
