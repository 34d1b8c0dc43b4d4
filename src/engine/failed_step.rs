//! The error of a failed step: its place in the build file, how it ended, the known causes, and the way out.

use std::time::Duration;

use anyhow::Error;
use kiln_protocol::ExitStatus;

use super::step_cause::StepCause;
use crate::{
    exit::{Code, Failure, Fault},
    plan::PlannedStep,
};

/// How to find out why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WayOn<'a> {
    /// By a shell in the place of the step, which this command opens.
    Shell(&'a str),
    /// By the workspace, which could be kept; there was a shell already.
    Workspace,
    /// Both were used already.
    Known,
}

impl WayOn<'_> {
    fn words(self) -> String {
        match self {
            Self::Shell(command) => format!("a shell at this step: {command}"),
            Self::Workspace => "--keep-on-failure keeps the workspace of a step that fails".into(),
            Self::Known => String::new(),
        }
    }
}

/// The error of a step that has ended.
pub(super) fn failed(
    planned: &PlannedStep,
    status: ExitStatus,
    causes: &[StepCause],
    way_on: WayOn<'_>,
) -> Error {
    let how = match status {
        ExitStatus::TimedOut => return timed_out(planned, None),
        ExitStatus::Code(code) => format!("exited with status {code}"),
        ExitStatus::Signal(signal) => format!("was ended by signal {signal} (status {})", 128 + signal),
        ExitStatus::Cancelled => "was cancelled".into(),
    };
    error(Code::Step, planned, &how, causes, &way_on.words())
}

/// The error of a step that could not be started, for a reason in the build file.
pub(super) fn refused(planned: &PlannedStep, why: &str) -> Error {
    error(Code::BuildFile, planned, &format!("cannot be started: {why}"), &[], "")
}

/// The error of a step during which its own time limit, or that of the whole build, ran out.
pub(super) fn timed_out(planned: &PlannedStep, whole: Option<Duration>) -> Error {
    let own = planned.step.timeout_ms.map(Duration::from_millis);
    let (flag, what) = match whole {
        Some(_) => ("--timeout", "the build"),
        None => ("--step-timeout", "the step"),
    };
    let limit = whole.or(own).unwrap_or_default();
    let how = format!("was ended: {what} may take {limit:?}");
    error(Code::Timeout, planned, &how, &[], &format!("raise {flag}, or the timeout of the build file"))
}

fn error(code: Code, planned: &PlannedStep, how: &str, causes: &[StepCause], way_on: &str) -> Error {
    let PlannedStep { name, package, origin, used_at, .. } = planned;
    let place = planned.place();
    let message = format!("step {name:?} of {package} {how}");
    // The place in the build file names the step, the place in the definition the script.
    let within = used_at.as_ref().filter(|used_at| used_at.file != origin.file);
    let within = within.map_or_else(String::new, |_| format!(" (written at {origin})"));
    let whys: String = causes.iter().map(|cause| format!("\n{}", cause.why())).collect();
    let ways: Vec<String> = causes.iter().filter_map(StepCause::way_out).collect();
    let lines = ways.iter().map(String::as_str).chain(Some(way_on).filter(|line| !line.is_empty()));
    let way_out = lines.collect::<Vec<_>>().join("\n");
    let fault = Fault {
        file: place.file.display().to_string(),
        line: place.line,
        column: place.column,
        message: format!("{message}{whys}"),
        hint: (!ways.is_empty()).then(|| ways.join("\n")),
    };
    let failure = Failure::new(code, format!("{place}: {message}{within}{whys}"), way_out);
    Failure { faults: vec![fault], ..failure }.into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        exit::{faults_of, way_out_of},
        plan::Origin,
    };

    fn planned(used_at: Option<Origin>) -> PlannedStep {
        let file = if used_at.is_some() { "fetch.yaml (built in)" } else { "a.yaml" };
        PlannedStep {
            name: "get".into(),
            package: "a".into(),
            origin: Origin { file: Path::new(file).into(), line: 31, column: 5 },
            used_at,
            fragment: String::new(),
            directory: "/".into(),
            step: kiln_protocol::Step {
                index: 0,
                argv: Vec::new(),
                files: Vec::new(),
                env: Vec::new(),
                cwd: "/".into(),
                user: kiln_protocol::User::Root,
                stdin: kiln_protocol::Stdin::Null,
                timeout_ms: Some(90_000),
            },
        }
    }

    #[test]
    fn an_error_names_the_place_in_the_build_file_and_in_a_definition() {
        let here = failed(&planned(None), ExitStatus::Code(2), &[], WayOn::Known);
        assert_eq!(here.to_string(), "a.yaml:31: step \"get\" of a exited with status 2");
        let used_at = Some(Origin { file: Path::new("a.yaml").into(), line: 7, column: 11 });
        let used = planned(used_at);
        let signal = failed(&used, ExitStatus::Signal(9), &[], WayOn::Known);
        assert_eq!(
            signal.to_string(),
            "a.yaml:7: step \"get\" of a was ended by signal 9 (status 137) (written at fetch.yaml (built in):31)"
        );
        for error in [signal, refused(&used, "no shell"), timed_out(&used, None)] {
            let faults = faults_of(&error);
            let [Fault { file, line, column, message, hint: _ }] = faults.as_slice() else {
                panic!("{faults:?}")
            };
            assert_eq!((file.as_str(), *line, *column), ("a.yaml", 7, 11));
            assert!(message.starts_with("step \"get\" of a "), "{message}");
        }
    }

    #[test]
    fn a_limit_of_time_is_named_with_its_flag() {
        for (whole, text, flag) in [
            (None, "the step may take 90s", "raise --step-timeout"),
            (Some(Duration::from_secs(5)), "the build may take 5s", "raise --timeout"),
        ] {
            let error = timed_out(&planned(None), whole);
            assert!(error.to_string().ends_with(text), "{error}");
            assert!(way_out_of(&error).is_some_and(|way_out| way_out.starts_with(flag)), "{error}");
        }
    }

    #[test]
    fn an_option_that_was_used_is_not_a_way_out() {
        for (way_on, expected) in [
            (WayOn::Shell("kiln build -i a.yaml"), Some("a shell at this step: kiln build -i a.yaml")),
            (WayOn::Workspace, Some("--keep-on-failure keeps the workspace of a step that fails")),
            (WayOn::Known, None),
        ] {
            assert_eq!(way_out_of(&failed(&planned(None), ExitStatus::Code(1), &[], way_on)), expected);
        }
    }

    #[test]
    fn a_known_cause_is_below_the_error_and_its_way_out_comes_first() {
        let cause = StepCause::NoProgram { name: Some("cmake".into()), installed: true };
        let error =
            failed(&planned(None), ExitStatus::Code(127), &[cause], WayOn::Shell("kiln build -i a.yaml"));
        let text = error.to_string();
        assert!(text.starts_with("a.yaml:31: step \"get\" of a exited with status 127\n"), "{text}");
        assert!(text.contains("\n`cmake`"), "{text}");
        let way_out = way_out_of(&error).unwrap_or_default();
        let lines: Vec<&str> = way_out.lines().collect();
        assert!(lines[0].contains("environment.contents.packages"), "{way_out}");
        assert_eq!(lines[1..], ["a shell at this step: kiln build -i a.yaml"]);
        let faults = faults_of(&error);
        assert_eq!(faults[0].hint.as_deref(), Some(lines[0]));
        assert!(faults[0].message.contains("`cmake`"), "{faults:?}");
    }
}
