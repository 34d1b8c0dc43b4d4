//! What the agent is given once its world stands: it is read when the build starts, and in no plan, event or log.

use std::sync::OnceLock;

use anyhow::Result;
use data_encoding::BASE64;
use kiln_protocol::{Secret, Secrets, ToGuest, Trust};

use super::{agent_session::AgentSession, redact::Redactor};
use crate::plan::Plan;

/// The contents of the plan's host_settings.
#[derive(Debug, Default)]
pub struct Injected {
    /// The host's certificates.
    pub trust: Option<Trust>,
    /// `--secret`.
    pub secrets: Vec<Secret>,
    /// Made once: of a large secret it is large.
    redactor: OnceLock<Redactor>,
}

impl Injected {
    /// Of these.
    pub fn new(trust: Option<Trust>, secrets: Vec<Secret>) -> Self {
        Self { trust, secrets, redactor: OnceLock::new() }
    }

    /// Gives all of it. Nothing is answered; what cannot be done ends the conversation.
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

    /// What no output of a step may show.
    pub(super) fn redactor(&self, plan: &Plan) -> Redactor {
        let make = || {
            let proxies = &plan.host_settings.proxies;
            let passwords = proxies.secrets().map(|(_, secret)| secret);
            // The user alone is none: masked is what it is sent as.
            let logins = proxies.logins().map(|login| BASE64.encode(&login).trim_end_matches('=').into());
            let others: Vec<Vec<u8>> = passwords.chain(logins).collect();
            let secrets = self.secrets.iter().map(|secret| secret.value.as_slice());
            Redactor::new(secrets.chain(others.iter().map(Vec::as_slice)))
        };
        self.redactor.get_or_init(make).clone()
    }
}
