//! The errors of a guest that quote it: why it is not ready, has ended, or sends what is not allowed.

use anyhow::Error;
use kiln_protocol::FromGuest;

use super::{agent_session::AgentSession, failure::broken};
use crate::{
    backend::Ended,
    exit::{Code, Failure},
    plan::Plan,
};

/// The number of the guest's last lines in an error.
const LAST_LINES: usize = 12;

/// A command could not be started.
pub(super) fn refused(why: &str, session: &AgentSession) -> Error {
    Failure::build_file(format!("the command cannot be started: {}", session.quoted(why)), "").into()
}

/// The guest did not become ready.
pub(super) fn boot_timeout(plan: &Plan, session: &AgentSession) -> Error {
    let what = format!(
        "the guest was not ready within {:?}{}",
        plan.boot_timeout,
        words(&session.last_words(), session)
    );
    let way_out = plan.runner().traits().slow_boot;
    Failure::new(Code::Timeout, what, way_out).into()
}

/// A part of the machine ended too early.
pub(super) fn died(ended: &Ended, when: &str, session: &AgentSession) -> Error {
    let Ended { part, how, orderly: _, last_words, way_out } = ended;
    let console = session.last_words();
    let said = if last_words.is_empty() { &console } else { last_words };
    let what = format!("{part} {how} {when}{}", words(said, session));
    let usual = "its whole output is in the build's log directory; `kiln doctor` examines this host";
    Failure::host(what, way_out.as_deref().unwrap_or(usual)).into()
}

/// The agent sent a message that is not allowed here.
pub(super) fn unexpected(message: &FromGuest, when: &str, session: &AgentSession) -> Error {
    match message {
        FromGuest::Failed { why } => {
            let what = format!(
                "the agent gave up {when}: {}{}",
                session.quoted(why),
                words(&session.last_words(), session)
            );
            Failure::host(what, "the guest's console is in the build's log directory").into()
        }
        FromGuest::Hello { .. }
        | FromGuest::Ready { .. }
        | FromGuest::Output { .. }
        | FromGuest::Consumed { .. }
        | FromGuest::Ended { .. }
        | FromGuest::Refused { .. }
        | FromGuest::Data(_)
        | FromGuest::FileRead { .. }
        | FromGuest::FileRefused { .. }
        | FromGuest::Reads(_)
        | FromGuest::Exported { .. }
        | FromGuest::Connected { .. }
        | FromGuest::FilesFound { .. }
        | FromGuest::ForwardData(_) => broken(&format!("the agent sent {} {when}", name(message))),
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
        FromGuest::FileRead { .. } => "FileRead",
        FromGuest::FileRefused { .. } => "FileRefused",
        FromGuest::Reads(_) => "Reads",
        FromGuest::Exported { .. } => "Exported",
        FromGuest::Failed { .. } => "Failed",
        FromGuest::Connected { .. } => "Connected",
        FromGuest::FilesFound { .. } => "FilesFound",
        FromGuest::ForwardData(_) => "ForwardData",
    }
}

fn words(lines: &[String], session: &AgentSession) -> String {
    let tail = &lines[lines.len().saturating_sub(LAST_LINES)..];
    tail.iter().fold(String::new(), |text, line| format!("{text}\n  | {}", session.quoted(line)))
}
