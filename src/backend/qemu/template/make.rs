//! Makes a template: boots a guest without a build's devices until its agent has greeted, and saves its state.

use std::{fs::File, os::fd::AsFd, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use kiln_protocol::FromGuest;
use qapi::qmp::{
    MigrationCapability, MigrationCapabilityStatus, MigrationStatus, migrate, migrate_set_capabilities,
    query_migrate, quit,
};
use tokio::time::{sleep, timeout};

use crate::{
    agent::Session,
    backend::qemu::{channel::channel, line::fd, qmp::Qmp, ssdt::FREE_TRANSPORTS},
    exit::Failure,
    process::{Child, Command, Spawner, Stdio, Tail},
};

/// How long QEMU may take to write the state, some hundred kilobytes.
const SAVE_LIMIT: Duration = Duration::from_secs(30);

/// How often QEMU is asked whether the state is written: that takes some 8 ms.
const POLL: Duration = Duration::from_millis(2);

/// How many of QEMU's last lines are quoted.
const LAST_LINES: usize = 10;

/// The name under which QEMU gets the state's file.
const STATE: &str = "state";

/// The template to be made.
pub(super) struct Making<'a> {
    pub(super) spawner: &'a Spawner,
    /// The directory for its files.
    pub(super) directory: PathBuf,
    /// QEMU's command line, with the path of the memory's file.
    pub(super) argv: Vec<std::ffi::OsString>,
    /// How many PCI slots the machine has.
    pub(super) slots: u32,
    /// The limit for the boot.
    pub(super) boot_limit: Duration,
}

/// A guest of this kernel cannot be restored.
#[derive(Debug)]
pub(super) struct Unfit(pub(super) String);

impl Making<'_> {
    /// Writes `memory` and `state` into the directory; an `Unfit` if the guest cannot be restored with a build's devices.
    pub(super) async fn make(self) -> Result<Result<(), Unfit>> {
        let (agent, agent_end) = channel("the agent's")?;
        let (console, console_end) = channel("the console's")?;
        let (monitor, monitor_end) = channel("the monitor's")?;
        let mut line = self.argv.into_iter();
        let program = line.next().context("the command line is empty")?;
        let command = Command::new(program)
            .args(line)
            .clear_env()
            .stdin(Stdio::Null)
            .stdout(Stdio::Null)
            .stderr(Stdio::Piped)
            .fd(agent_end, fd::AGENT)
            .fd(console_end, fd::CONSOLE)
            .fd(monitor_end, fd::MONITOR);
        let mut qemu = self.spawner.spawn(command)?;
        let stderr = qemu.take_stderr().context("QEMU's stderr was piped above")?;
        let mut stderr = Tail::follow(LAST_LINES, stderr, None);
        let console = Tail::follow(LAST_LINES, console, None);
        let (reader, writer) = tokio::io::split(agent);
        let mut session = Session::new(Box::pin(reader), Box::pin(writer));
        let (free, slots) = tokio::select! {
            greeted = timeout(self.boot_limit, greeting(&mut session)) => match greeted {
                Ok(places) => places?,
                Err(_) => return Err(not_up(self.boot_limit, &console.lines())),
            },
            status = qemu.wait() => {
                let words = [stderr.last_lines().await.unwrap_or_default(), console.lines()].concat();
                bail!("QEMU ended while a template was made ({}){}", status?, quoted(&words));
            }
        };
        if free != FREE_TRANSPORTS {
            let why = format!(
                "the guest's kernel has {free} free virtio-mmio transports of {FREE_TRANSPORTS}: it takes no ACPI table from its initramfs"
            );
            return Ok(Err(Unfit(why)));
        }
        if slots < self.slots {
            return Ok(Err(Unfit(format!("the guest's kernel has {slots} PCI slots of {}", self.slots))));
        }
        let state = self.directory.join("state");
        let state = File::create_new(&state).with_context(|| format!("make {}", state.display()))?;
        timeout(SAVE_LIMIT, save(Qmp::new(monitor), &state, &mut qemu))
            .await
            .with_context(|| format!("QEMU has not saved a guest within {} s", SAVE_LIMIT.as_secs()))??;
        Ok(Ok(()))
    }
}

/// Waits for the agent; returns the numbers of free transports and of PCI slots.
async fn greeting(session: &mut Session) -> Result<(u32, u32)> {
    match session.recv().await? {
        Some(FromGuest::Hello { free_transports, pci_slots, .. }) => Ok((free_transports, pci_slots)),
        Some(other) => bail!("the agent of a template greeted with {other:?}"),
        None => bail!("the agent of a template has closed its channel"),
    }
}

/// Lines below an error.
fn quoted(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

fn not_up(limit: Duration, console: &[String]) -> anyhow::Error {
    Failure::host(
        format!("the guest of a template did not come up within {} s{}", limit.as_secs(), quoted(console)),
        "--start cold does without templates.",
    )
    .into()
}

/// Saves the state of the running guest and ends QEMU. The memory is in its file already.
async fn save(mut qmp: Qmp, state: &File, qemu: &mut Child) -> Result<()> {
    qmp.negotiate().await?;
    qmp.execute(ignore_shared()).await?;
    qmp.give(STATE, state.as_fd()).await?;
    // A guest that is stopped before would be restored stopped.
    let uri = Some(format!("fd:{STATE}"));
    qmp.execute(migrate { channels: None, detach: None, resume: None, uri }).await?;
    loop {
        let info = qmp.execute(query_migrate {}).await?;
        match info.status {
            Some(MigrationStatus::completed) => break,
            Some(MigrationStatus::failed | MigrationStatus::cancelled) => {
                bail!("QEMU cannot save a guest: {}", info.error_desc.unwrap_or_else(|| "no reason".into()))
            }
            _ => sleep(POLL).await,
        }
    }
    qmp.execute(quit {}).await?;
    qemu.wait().await?;
    Ok(())
}

/// The capability by which memory in a shared file is left where it is.
pub(super) fn ignore_shared() -> migrate_set_capabilities {
    let capability = MigrationCapability::x_ignore_shared;
    migrate_set_capabilities { capabilities: vec![MigrationCapabilityStatus { capability, state: true }] }
}
