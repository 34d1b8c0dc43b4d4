//! What the agent is given once its world stands: it is read when the build starts, and in no plan, event or log.

use std::sync::OnceLock;

use anyhow::Result;
use kiln_protocol::{Secret, Secrets, ToGuest, Trust};

use super::{conversation::Conversation, mask::Mask};
use crate::plan::Plan;

/// The contents of the plan's supplies.
#[derive(Debug, Default)]
pub struct Gifts {
    /// The host's certificates.
    pub trust: Option<Trust>,
    /// `--secret`.
    pub secrets: Vec<Secret>,
    /// Made once: of a large secret it is large.
    mask: OnceLock<Mask>,
}

impl Gifts {
    /// Of these.
    pub fn new(trust: Option<Trust>, secrets: Vec<Secret>) -> Self {
        Self { trust, secrets, mask: OnceLock::new() }
    }

    /// Gives all of it. Nothing is answered; what cannot be done ends the conversation.
    pub(super) async fn give(&mut self, plan: &Plan, talk: &mut Conversation) -> Result<()> {
        if let Some(trust) = self.trust.take() {
            talk.say(&ToGuest::Trust(trust)).await?;
        }
        if !self.secrets.is_empty() {
            let owner = plan.owner.inside;
            let secrets = Secrets { uid: owner, gid: owner, secrets: self.secrets.clone() };
            talk.say(&ToGuest::Secrets(secrets)).await?;
        }
        let ports = plan.supplies.relayed(plan.runner());
        if !ports.is_empty() {
            talk.say(&ToGuest::Relay(ports)).await?;
        }
        Ok(())
    }

    /// What no output of a step may show.
    pub(super) fn mask(&self, plan: &Plan) -> Mask {
        let make = || {
            let passwords = plan.supplies.proxies.passwords().map(str::as_bytes);
            Mask::new(self.secrets.iter().map(|secret| secret.value.as_slice()).chain(passwords))
        };
        self.mask.get_or_init(make).clone()
    }
}
