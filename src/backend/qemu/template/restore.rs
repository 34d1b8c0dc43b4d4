//! Restores a guest from a template: the dialogue with QEMU that starts it.

use std::{fs::File, os::fd::OwnedFd, time::Duration};

use anyhow::{Context, Result, bail};
use qapi::qmp::{Event, migrate_incoming};
use tokio::time::timeout;

use super::{make::ignore_shared, store::Template};
use crate::backend::qemu::{line::fd, qmp::Qmp};

/// How long QEMU may take to load the state; 30 ms are usual.
const LOAD_LIMIT: Duration = Duration::from_secs(20);

/// The descriptor of the state.
///
/// # Errors
/// When it cannot be opened.
pub(in crate::backend::qemu) fn state(template: &Template) -> Result<OwnedFd> {
    let path = template.state();
    Ok(File::open(&path).with_context(|| format!("open {}", path.display()))?.into())
}

/// Has QEMU load the state, and waits until the guest runs.
///
/// # Errors
/// QEMU's, or when it does not answer.
pub(in crate::backend::qemu) async fn resume(qmp: &mut Qmp) -> Result<()> {
    let dialogue = async {
        qmp.negotiate().await?;
        qmp.execute(ignore_shared()).await?;
        let uri = Some(format!("fd:{}", fd::STATE));
        qmp.execute(migrate_incoming { channels: None, exit_on_error: None, uri }).await?;
        loop {
            match qmp.event().await {
                Some(Event::RESUME { .. }) => return Ok(()),
                Some(_) => {}
                None => bail!("QEMU has closed its monitor while it loaded a template"),
            }
        }
    };
    timeout(LOAD_LIMIT, dialogue)
        .await
        .with_context(|| format!("QEMU has not loaded a template within {} s", LOAD_LIMIT.as_secs()))?
}
