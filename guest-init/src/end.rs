//! How the agent ends: it logs the error, kills all other processes, does what the configuration has for the end, and flushes
//! shares. Then the machine ends, or the agent exits.

use std::{fs, fs::File, process::ExitCode};

use anyhow::{Context, Result};
use nix::{
    sys::reboot::{RebootMode, reboot},
    unistd::syncfs,
};

use kiln_protocol::{ChownScope, OnExit};
use kiln_reads::unescape;

use crate::{
    chown::{self, SetId},
    environment::Environment,
    log, processes, reap,
};

/// Ends everything; `result` is how the session ended. In a microVM it does not return.
pub(crate) fn end(environment: Environment, result: Result<()>, on_exit: &[OnExit]) -> ExitCode {
    let code = match &result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    };
    if let Err(error) = processes::kill_all().and_then(|()| reap::wait_for_all()) {
        log::failure(&format!("{error:#}"));
    }
    let code = match close(on_exit) {
        Ok(()) => code,
        Err(error) => {
            log::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    };
    match environment {
        Environment::Sandbox => code,
        Environment::Machine => end_machine(code),
    }
}

fn close(on_exit: &[OnExit]) -> Result<()> {
    on_exit.iter().try_for_each(|OnExit::Chown { path, uid, gid }| {
        chown::all_below(path, (*uid, *gid), ChownScope::Everything, SetId::Dropped)
    })
}

/// Reboots: `-no-reboot` on QEMU's command line and `reboot=t` on the kernel's make that an end of QEMU. A power-off needs ACPI.
fn end_machine(code: ExitCode) -> ExitCode {
    if let Err(error) = flush_shares() {
        log::failure(&format!("{error:#}"));
    }
    match reboot(RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        // When PID 1 exits, the kernel panics, and `panic=-1` ends the machine as well.
        Err(errno) => {
            log::failure(&format!("end the machine: {errno}"));
            code
        }
    }
}

/// Writes the cached data of shares to the host. The scratch disk is discarded and needs no flush.
fn flush_shares() -> Result<()> {
    // /proc is not mounted when the boot failed early; then there are no shares either.
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return Ok(()) };
    for target in writable_shares(&mounts) {
        let share = File::open(&target).with_context(|| format!("open {target}"))?;
        syncfs(&share).with_context(|| format!("flush {target}"))?;
    }
    Ok(())
}

/// The targets of the shares in a mountinfo (proc_pid_mountinfo(5)) that can be written to.
fn writable_shares(mountinfo: &str) -> Vec<String> {
    let share = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut filesystem = filesystem.split(' ');
        let kind = filesystem.next()?;
        let target = mount.split(' ').nth(4)?;
        let options = mount.split(' ').nth(5)?;
        let writable = options.split(',').any(|option| option == "rw");
        (matches!(kind, "9p" | "virtiofs") && writable).then(|| unescape(target))
    };
    mountinfo.lines().filter_map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shares_that_can_be_written_to_are_flushed() {
        let mounts = "\
22 1 0:20 / / rw - overlay overlay rw,lowerdir=/l\n\
23 22 0:21 / /mnt/a\\040b rw,nosuid shared:1 - virtiofs cache rw\n\
24 22 0:22 / /mnt/source ro,nosuid - 9p source rw,trans=virtio\n\
25 22 0:23 / /mnt/nine rw - 9p nine rw,trans=virtio\n";
        assert_eq!(writable_shares(mounts), ["/mnt/a b", "/mnt/nine"]);
    }
}
