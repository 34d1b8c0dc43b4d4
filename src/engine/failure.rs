//! The errors that can end a build, with their exit codes and the way out.

use std::time::Duration;

use anyhow::Error;

use crate::{
    agent::Unread,
    exit::{Code, Failure},
};

/// The agent breaks the protocol.
pub(super) fn broken(what: &str) -> Error {
    let way_out =
        "a process of the guest may have taken the agent's place: do not use the results of this build";
    Failure::host(what, way_out).into()
}

/// The session with the agent has failed.
pub(super) fn session_failed(error: Error) -> Error {
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

/// An archive leaves the guest too slowly.
pub(super) fn slow(what: &str, limit: Duration) -> Error {
    let what = format!("{what} did not leave the guest: next to nothing came for {} s", limit.as_secs());
    Failure::new(Code::Timeout, what, "a guest that gets no processor time sends nothing: build less at once")
        .into()
}

/// A command used up its time.
pub(super) fn timed_out(limit: Duration) -> Error {
    Failure::new(Code::Timeout, format!("the command was ended: it may take {limit:?}"), "raise --timeout")
        .into()
}

/// A text of the guest without control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
