//! Certificates and secrets for the agent. They are read when the build starts, and are in no plan, event or log.

use std::sync::OnceLock;

use anyhow::Result;
use data_encoding::BASE64;
use kiln_protocol::{Secret, Secrets, ToGuest, Trust};

use super::{agent_session::AgentSession, redact::Redactor};
use crate::plan::Plan;

/// The contents of the plan's host settings.
#[derive(Debug, Default)]
pub struct Injected {
    /// The host's certificates.
    pub trust: Option<Trust>,
    /// `--secret`.
    pub secrets: Vec<Secret>,
    /// Made once, since it is large for a large secret.
    redactor: OnceLock<Redactor>,
}

impl Injected {
    /// These certificates and secrets.
    pub fn new(trust: Option<Trust>, secrets: Vec<Secret>) -> Self {
        Self { trust, secrets, redactor: OnceLock::new() }
    }

    /// Sends all of it. The agent does not answer; a failure ends the session.
    pub(super) async fn give(&mut self, plan: &Plan, session: &mut AgentSession) -> Result<()> {
        if let Some(trust) = self.trust.take() {
            session.send(&ToGuest::Trust(trust))?;
        }
        if !self.secrets.is_empty() {
            let (uid, gid) = plan.owner.ids();
            let secrets = Secrets { uid, gid, secrets: self.secrets.clone() };
            session.send(&ToGuest::Secrets(secrets))?;
        }
        let ports = plan.host_settings.relayed(plan.runner());
        if !ports.is_empty() {
            session.send(&ToGuest::Relay(ports))?;
        }
        Ok(())
    }

    /// A text without the secrets in it.
    pub fn hide(&self, plan: &Plan, text: &str) -> String {
        self.redactor(plan).whole(text)
    }

    /// Redacts the secrets in the output of steps.
    pub(super) fn redactor(&self, plan: &Plan) -> Redactor {
        let make = || {
            let proxies = &plan.host_settings.proxies;
            let passwords = proxies.secrets().map(|(_, secret)| secret);
            // A user name alone is not a secret, but the header that it is sent in is redacted.
            let logins = proxies.logins().map(|login| BASE64.encode(&login).trim_end_matches('=').into());
            let others: Vec<Vec<u8>> = passwords.chain(logins).collect();
            let secrets = self.secrets.iter().map(|secret| secret.value.as_slice());
            Redactor::new(secrets.chain(others.iter().map(Vec::as_slice)))
        };
        self.redactor.get_or_init(make).clone()
    }
}
