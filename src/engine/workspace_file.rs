//! Files of the workspace, which a step may have fetched or made.

use std::time::Duration;

use anyhow::Result;
use kiln_protocol::{FromGuest, MAX_FILE, MAX_FOUND, ToGuest};
use tokio::time::Instant;

use super::{
    agent_session::AgentSession,
    request::{Reply, Wait},
};
use crate::{exit::Failure, plan::WORKSPACE};

/// How long the agent may take for one file of at most [`MAX_FILE`] bytes, or for the names of files.
const PATIENCE: Duration = Duration::from_secs(60);
const WHEN: &str = "while it was asked for the text of a licence";

/// The content of a file of the workspace, or why the agent cannot read it.
///
/// # Errors
/// Errors of the guest.
pub(super) async fn read(session: &mut AgentSession, path: &str) -> Result<Result<String, String>> {
    session.send(&ToGuest::ReadFile { root: WORKSPACE.into(), path: path.to_owned() })?;
    let wait = Wait { when: WHEN, deadline: Instant::now() + PATIENCE };
    let mut content: Vec<u8> = Vec::new();
    let answer = session.expect(wait, |message| match message {
        // A guest that sends more than it may is stopped here.
        FromGuest::Data(bytes) if content.len() + bytes.len() <= MAX_FILE => {
            content.extend(bytes);
            Reply::Other
        }
        FromGuest::FileRead { bytes } if bytes as usize == content.len() => Reply::Answer(Ok(())),
        FromGuest::FileRefused { why } => Reply::Answer(Err(why)),
        other => Reply::Unexpected(other),
    });
    match answer.await? {
        Some(Ok(())) => Ok(Ok(String::from_utf8_lossy(&content).into_owned())),
        Some(Err(why)) => Ok(Err(why)),
        None => Err(late(&format!("{path:?}"))),
    }
}

/// Files of the workspace whose names have one of these words in them.
///
/// # Errors
/// Errors of the guest.
pub(super) async fn find(session: &mut AgentSession, words: &[&str]) -> Result<Vec<String>> {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    session.send(&ToGuest::FindFiles { root: WORKSPACE.into(), words })?;
    let wait = Wait { when: WHEN, deadline: Instant::now() + PATIENCE };
    let answer = session.expect(wait, |message| match message {
        FromGuest::FilesFound { paths } if paths.len() <= MAX_FOUND => Reply::Answer(paths),
        other => Reply::Unexpected(other),
    });
    answer.await?.ok_or_else(|| late("names of files"))
}

fn late(what: &str) -> anyhow::Error {
    let what = format!("the agent has not sent {what} in {} s", PATIENCE.as_secs());
    Failure::host(what, "the guest's console is in the build's log directory").into()
}
