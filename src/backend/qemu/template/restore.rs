//! Restores a guest from a template: the dialogue with QEMU that starts it.

use std::{fs::File, os::fd::OwnedFd, time::Duration};

use anyhow::{Context, Result, bail};
use kiln_protocol::{FromGuest, ToGuest};
use qapi::qmp::{Event, migrate_incoming};
use tokio::time::timeout;

use super::{make::ignore_shared, store::Template};
use crate::{
    agent::Session,
    backend::qemu::{line::fd, qmp::Qmp},
};

/// How long a guest may take from QEMU's start to the agent's answer; a tenth of a second is usual.
const LOAD_LIMIT: Duration = Duration::from_secs(20);

/// The descriptor of the state.
///
/// # Errors
/// When it cannot be opened.
pub(in crate::backend::qemu) fn state(template: &Template) -> Result<OwnedFd> {
    let path = template.state();
    Ok(File::open(&path).with_context(|| format!("open {}", path.display()))?.into())
}

/// Has QEMU load the state, and waits until the agent answers: until then nothing of the build was done, and the guest may boot instead.
///
/// # Errors
/// QEMU's, or when it or the agent does not answer.
pub(in crate::backend::qemu) async fn resume(qmp: &mut Qmp, agent: &mut Session) -> Result<()> {
    let dialogue = async {
        qmp.negotiate().await?;
        qmp.execute(ignore_shared()).await?;
        let uri = Some(format!("fd:{}", fd::STATE));
        qmp.execute(migrate_incoming { channels: None, exit_on_error: None, uri }).await?;
        loop {
            match qmp.event().await {
                Some(Event::RESUME { .. }) => break,
                Some(_) => {}
                None => bail!("QEMU has closed its monitor while it loaded a template"),
            }
        }
        agent.queue(&ToGuest::Greet)?;
        match agent.recv().await? {
            Some(FromGuest::Hello { .. }) => Ok(()),
            Some(other) => bail!("a restored guest greeted with {other:?}"),
            None => bail!("a restored guest has closed its channel"),
        }
    };
    timeout(LOAD_LIMIT, dialogue)
        .await
        .with_context(|| format!("a guest was not restored within {} s", LOAD_LIMIT.as_secs()))?
}
