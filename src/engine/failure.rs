//! What can end a build, as errors with their exit codes and the way out.

use std::time::Duration;

use anyhow::Error;
use kiln_protocol::{ExitStatus, FromGuest};

use super::conversation::Conversation;
use crate::{
    agent::Unread,
    exit::{Code, Failure},
    plan::{Plan, PlannedStep, Platform},
    runner::Ended,
};

/// So many of the guest's last lines are shown in an error.
const LAST_LINES: usize = 12;

/// A step did not succeed; `again` is the command that opens a shell in its place.
pub(super) fn step(planned: &PlannedStep, status: ExitStatus, again: &str) -> Error {
    if status == ExitStatus::TimedOut {
        let limit = planned.step.timeout_ms.map(Duration::from_millis).unwrap_or_default();
        return timed_out(&planned.name, limit, false);
    }
    let how = match status {
        ExitStatus::Code(code) => format!("exited with status {code}"),
        ExitStatus::Signal(signal) => format!("was ended by signal {signal} (status {})", 128 + signal),
        ExitStatus::TimedOut => "ran out of time".into(),
        ExitStatus::Cancelled => "was cancelled".into(),
    };
    Failure::new(
        Code::Step,
        format!("step {:?} of {} {how}", planned.name, planned.package),
        format!("a shell at this step: {again}"),
    )
    .into()
}

/// A step could not be started.
pub(super) fn refused(name: &str, why: &str, talk: &Conversation) -> Error {
    Failure::build_file(format!("step {name:?} cannot be started: {}", talk.quoted(why)), "").into()
}

/// What speaks for the agent is none.
pub(super) fn broken(what: &str) -> Error {
    let way_out =
        "what runs in the guest may have taken the agent's place: do not use what this build has made";
    Failure::host(what, way_out).into()
}

/// Nothing can be heard of the agent any more.
pub(super) fn unheard(error: Error) -> Error {
    if !error.is::<Unread>() {
        return broken(&format!("{error:#}"));
    }
    let way_out = "a guest that gets no processor time reads nothing: build less at once";
    Failure::new(Code::Timeout, error.to_string(), way_out).into()
}

/// The build's own limit ran out after its steps.
pub(super) fn too_late(what: &str, limit: Option<Duration>) -> Error {
    let what = format!("{what} did not leave the guest within {:?}", limit.unwrap_or_default());
    Failure::new(Code::Timeout, what, "raise --timeout").into()
}

/// Too little of an archive comes out of the guest.
pub(super) fn slow(what: &str, limit: Duration) -> Error {
    let what = format!("{what} did not leave the guest: next to nothing came for {} s", limit.as_secs());
    Failure::new(Code::Timeout, what, "a guest that gets no processor time sends nothing: build less at once")
        .into()
}

/// A limit of time ran out during a step.
pub(super) fn timed_out(name: &str, limit: Duration, whole: bool) -> Error {
    let (flag, what) = if whole { ("--timeout", "the build") } else { ("--step-timeout", "the step") };
    Failure::new(
        Code::Timeout,
        format!("step {name:?} was ended: {what} may take {limit:?}"),
        format!("raise {flag}, or the timeout of the build file"),
    )
    .into()
}

/// The guest never became ready.
pub(super) fn boot_timeout(plan: &Plan, talk: &Conversation) -> Error {
    let what =
        format!("the guest was not ready within {:?}{}", plan.boot_timeout, words(&talk.last_words(), talk));
    let way_out = match plan.platform {
        Platform::Qemu(_) => "raise --boot-timeout, or try --accel tcg",
        Platform::Docker(_) | Platform::Bubblewrap(_) => "raise --boot-timeout",
    };
    Failure::new(Code::Timeout, what, way_out).into()
}

/// A part of the machine ended too early.
pub(super) fn died(ended: &Ended, when: &str, talk: &Conversation) -> Error {
    let Ended { part, how, orderly: _, last_words, way_out } = ended;
    let console = talk.last_words();
    let said = if last_words.is_empty() { &console } else { last_words };
    let what = format!("{part} {how} {when}{}", words(said, talk));
    let usual = "its whole output is in the build's log directory; `kiln doctor` examines this host";
    Failure::host(what, way_out.as_deref().unwrap_or(usual)).into()
}

/// The agent said something that has no place here.
pub(super) fn unexpected(message: &FromGuest, when: &str, talk: &Conversation) -> Error {
    match message {
        FromGuest::Failed { why } => {
            let what =
                format!("the agent gave up {when}: {}{}", talk.quoted(why), words(&talk.last_words(), talk));
            Failure::host(what, "the guest's console is in the build's log directory").into()
        }
        FromGuest::Hello { .. }
        | FromGuest::Ready { .. }
        | FromGuest::Output { .. }
        | FromGuest::Consumed { .. }
        | FromGuest::Ended { .. }
        | FromGuest::Refused { .. }
        | FromGuest::Data(_)
        | FromGuest::Reads(_)
        | FromGuest::Exported { .. }
        | FromGuest::Opened { .. }
        | FromGuest::Passage(_) => broken(&format!("the agent sent {} {when}", name(message))),
    }
}

fn name(message: &FromGuest) -> &'static str {
    match message {
        FromGuest::Hello { .. } => "Hello",
        FromGuest::Ready { .. } => "Ready",
        FromGuest::Output { .. } => "Output",
        FromGuest::Consumed { .. } => "Consumed",
        FromGuest::Ended { .. } => "Ended",
        FromGuest::Refused { .. } => "Refused",
        FromGuest::Data(_) => "Data",
        FromGuest::Reads(_) => "Reads",
        FromGuest::Exported { .. } => "Exported",
        FromGuest::Failed { .. } => "Failed",
        FromGuest::Opened { .. } => "Opened",
        FromGuest::Passage(_) => "Passage",
    }
}

fn words(lines: &[String], talk: &Conversation) -> String {
    let tail = &lines[lines.len().saturating_sub(LAST_LINES)..];
    tail.iter().fold(String::new(), |text, line| format!("{text}\n  | {}", talk.quoted(line)))
}

/// What a guest wrote, without what would move a cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
