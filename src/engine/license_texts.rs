//! Texts of licences that lie in the workspace, perhaps in a source that a step has fetched.

use std::time::Duration;

use anyhow::Result;
use kiln_protocol::{FromGuest, MAX_FILE, ToGuest};
use tokio::time::Instant;

use super::{
    agent_session::AgentSession,
    build::Build,
    request::{Reply, Wait},
};
use crate::{
    exit::Failure,
    package::sbom::{LicenseTexts, license_paths},
    plan::WORKSPACE,
};

/// How long the agent may take for one file of at most [`MAX_FILE`] bytes.
const PATIENCE: Duration = Duration::from_secs(60);
const WHEN: &str = "while it was asked for the text of a licence";

impl Build<'_, '_> {
    /// The texts of all licences that the plan names by a file, after the last step.
    ///
    /// # Errors
    /// A build-file failure for a file that is missing, leads out of the workspace, or is too long; errors of the guest.
    pub(super) async fn license_texts(&self, session: &mut AgentSession) -> Result<LicenseTexts> {
        let mut texts = LicenseTexts::new();
        for path in self.engine.plan.metadata.packages.iter().flat_map(license_paths) {
            if !texts.contains_key(path) {
                texts.insert(path.to_owned(), license_text(session, path).await?);
            }
        }
        Ok(texts)
    }
}

async fn license_text(session: &mut AgentSession, path: &str) -> Result<String> {
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
        Some(Ok(())) => Ok(String::from_utf8_lossy(&content).into_owned()),
        Some(Err(why)) => {
            let what = format!("license-path {path:?}: {}", session.quoted(&why));
            Err(Failure::build_file(what, "name a text file of the workspace, relative to it").into())
        }
        None => {
            let what = format!("the agent has not sent {path:?} in {} s", PATIENCE.as_secs());
            Err(Failure::host(what, "the guest's console is in the build's log directory").into())
        }
    }
}
