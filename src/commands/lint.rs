//! `kiln lint`: what packages should not have in them.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    cli::LintArgs,
    exit::{Code, Failure},
    package::lint::{Finding, LintedApk, Settings, failure, lint, read_apk, results},
    report,
};

/// Prints the findings of all packages, and fails if one of them is required.
pub(super) fn run(args: &LintArgs) -> Result<Code> {
    let LintArgs { packages, lint_require, lint_warn, persist_lint_results, out_dir } = args;
    let settings = Settings::new(lint_require.as_deref(), lint_warn.as_deref())?;
    let mut failures: Vec<Failure> = Vec::new();
    for path in packages {
        let LintedApk { info, facts, tests } = read_apk(path)?;
        let findings = lint(&facts, tests, &settings);
        report::print(&describe(path, &findings))?;
        if *persist_lint_results {
            let full_name = format!("{}-{}", info.name, info.version);
            persist(out_dir, &info.arch, &full_name, &findings)?;
        }
        failures.extend(failure(&findings));
    }
    let Some(first) = failures.first() else { return Ok(Code::Success) };
    let whats: Vec<&str> = failures.iter().map(|failure| failure.what.as_str()).collect();
    Err(Failure::new(Code::Package, whats.join("\n"), first.way_out.clone()).into())
}

/// The findings of one package as text.
fn describe(path: &Path, findings: &[Finding]) -> String {
    let count = match findings.len() {
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    let mut text = format!("{}: {count}\n", path.display());
    for finding in findings {
        let severity = if finding.is_required { "error" } else { "warning" };
        let lines = finding.log_lines().join("\n  ");
        writeln!(text, "  {severity}: {lines}").expect("writing to a string");
    }
    text
}

fn persist(out_dir: &Path, arch: &str, full_name: &str, findings: &[Finding]) -> Result<()> {
    let Some(document) = results(full_name, findings)? else { return Ok(()) };
    if [arch, full_name].iter().any(|name| name.is_empty() || name.starts_with('.') || name.contains('/')) {
        let what = format!("{full_name:?} for {arch:?}: no file can be named after this package");
        return Err(Failure::new(Code::Package, what, "Leave out --persist-lint-results.").into());
    }
    let directory = out_dir.join(arch);
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    let path = directory.join(format!("lint-{full_name}.json"));
    fs::write(&path, document).with_context(|| format!("write {}", path.display()))
}
