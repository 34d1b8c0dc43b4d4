//! The findings of an examination, as text and as JSON.

use std::fmt::Write;

use serde::Serialize;

use crate::{backend::Isolation, exit::way_out_of};

/// The state of one part of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It exists and works.
    Ok,
    /// Builds run without it: slower, or with fewer choices.
    Warning,
    /// Builds cannot run.
    Missing,
}

/// The finding on one part of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The part.
    pub name: &'static str,
    /// Its state.
    pub state: State,
    /// The details.
    pub detail: String,
    /// The command or setting that fixes it.
    pub mend: Option<String>,
    /// The isolation of a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

impl Finding {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), mend: None, isolation: None }
    }

    pub(super) fn gap(name: &'static str, state: State, detail: impl Into<String>, mend: &str) -> Self {
        let mend = (!mend.is_empty()).then(|| mend.into());
        Self { name, state, detail: detail.into(), mend, isolation: None }
    }

    pub(super) fn of_error(name: &'static str, state: State, error: &anyhow::Error) -> Self {
        Self::gap(name, state, format!("{error:#}"), way_out_of(error).unwrap_or_default())
    }
}

/// Whether a build can run.
pub fn can_build(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.state != State::Missing)
}

/// For a person: a line for each finding, and one more with the fix.
pub fn as_text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    // The detail contains the isolation.
    for Finding { name, state, detail, mend, isolation: _ } in findings {
        let state = match state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Missing => "missing",
        };
        writeln!(text, "{state:<7}  {name:<width$}  {detail}").expect("a string takes everything");
        if let Some(mend) = mend {
            writeln!(text, "{:7}  {:width$}  -> {mend}", "", "").expect("a string takes everything");
        }
    }
    text
}

/// For a program: one JSON object.
pub fn as_json(findings: &[Finding]) -> String {
    serde_json::json!({ "can_build": can_build(findings), "findings": findings }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("qemu", "/usr/bin/qemu-system-x86_64 7.2.22"),
            Finding::gap("docker", State::Warning, "not installed", "apt-get install docker.io"),
        ]
    }

    #[test]
    fn a_warning_does_not_stop_a_build_and_a_gap_does() {
        let mut findings = findings();
        assert!(can_build(&findings));
        findings.push(Finding::gap("kernel", State::Missing, "none", ""));
        assert!(!can_build(&findings));
    }

    #[test]
    fn text_is_aligned_and_names_what_mends() {
        assert_eq!(
            as_text(&findings()),
            "ok       qemu    /usr/bin/qemu-system-x86_64 7.2.22\n\
             warning  docker  not installed\n                 -> apt-get install docker.io\n"
        );
    }

    #[test]
    fn json_is_one_object() {
        assert_eq!(
            as_json(&findings()[1..]),
            r#"{"can_build":true,"findings":[{"name":"docker","state":"warning","detail":"not installed","mend":"apt-get install docker.io"}]}"#
        );
    }
}
