//! Raw mode: the step gets every key, Ctrl-C too.

use std::{
    io::stdin,
    os::fd::{AsFd, OwnedFd},
};

use anyhow::{Context, Result};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::process::{RestoreAtEnd, Terminals};

/// The terminal at stdin in raw mode, as long as this value lives. If kiln is killed, the reaper restores its modes.
pub(super) struct Raw {
    terminal: OwnedFd,
    before: Termios,
    _killed: RestoreAtEnd,
}

impl Raw {
    pub(super) fn begin(terminals: &Terminals) -> Result<Self> {
        let terminal = stdin().as_fd().try_clone_to_owned().context("copy stdin")?;
        let before = tcgetattr(&terminal).context("read the terminal's modes")?;
        let killed = terminals.restore_at_end(&terminal);
        let guard = Self { terminal, before, _killed: killed };
        let mut raw = guard.before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&guard.terminal, SetArg::TCSANOW, &raw).context("set the terminal's modes")?;
        Ok(guard)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before) {
            tracing::warn!(%error, "the terminal stays in raw mode");
        }
    }
}
