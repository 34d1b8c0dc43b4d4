//! The packages of a root in words: how many, how much is to be fetched, and which ones. Pure.

use std::fmt::Write;

use anyhow::Result;

use crate::{
    image::Downloads,
    plan::{ApkPackage, ImageSource, Plan},
    report::{one_line, size as size_text},
};

/// The line of all packages, as a word and what it says.
pub(super) fn amount(downloads: &Downloads) -> String {
    let Downloads { packages, missing, missing_bytes, present_bytes } = downloads;
    format!(
        "{packages}, {missing} of them to be fetched ({}), the others in the cache ({})",
        size_text(*missing_bytes),
        size_text(*present_bytes)
    )
}

/// Each package with its version, in order of installation; nothing for a root of another source.
pub(super) fn list(plan: &Plan) -> Result<String> {
    let ImageSource::Apk(root) = &plan.image.source else { return Ok(String::new()) };
    let mut text = String::new();
    writeln!(text, "\npackages of the root, in order of installation:")?;
    for ApkPackage { name, version, repository, size, .. } in &root.packages {
        let line = format!("{name} {version} ({}) of {repository}", size_text(*size));
        writeln!(text, "  {}", one_line(&line))?;
    }
    Ok(text)
}
