//! `kiln bench compare`.

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    bench::{Comparison, Document, comparison_table},
    cli::CompareArgs,
    exit::Code,
    report,
};

/// The exit code for a regression, if the user asked for one: as diff(1) has it for a difference.
const REGRESSION: u8 = 1;

/// Compares two results, and prints the comparison; returns the exit code.
pub(super) fn run(args: &CompareArgs) -> Result<u8> {
    let CompareArgs { before, after, fail_on_regression, json } = args;
    let comparison = Comparison::new(&Document::read(before)?, &Document::read(after)?)?;
    let regressions = comparison.regressions(fail_on_regression.unwrap_or(0.0)).count();
    let text = if *json {
        let document = json!({ "comparison": comparison, "regressions": regressions });
        serde_json::to_string_pretty(&document).context("write a comparison as JSON")? + "\n"
    } else {
        comparison_table(&comparison)
    };
    report::print(&text)?;
    match fail_on_regression {
        Some(_) if regressions > 0 => Ok(REGRESSION),
        Some(_) | None => Ok(Code::Success as u8),
    }
}
