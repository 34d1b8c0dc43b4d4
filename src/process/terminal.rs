//! A terminal's modes, which the reaper restores if kiln is killed.
//!
//! Before it: [`super::Spawner::terminals`], and a terminal that is about to be switched to raw mode. After it: the reaper, which has
//! saved the modes, and restores them when kiln ends without having done so.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use nix::sys::termios::{LocalFlags, OutputFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::reaper_client::ReaperClient;

/// Has the reaper restore a terminal's modes.
#[derive(Debug, Clone)]
pub struct Terminals {
    pub(super) reaper: Arc<ReaperClient>,
}

impl Terminals {
    /// Has the reaper restore the present modes of `terminal`, should kiln end while the result lives.
    pub fn restore_at_end(&self, terminal: impl AsFd) -> RestoreAtEnd {
        self.reaper.restore_at_end(terminal.as_fd());
        RestoreAtEnd { reaper: Arc::clone(&self.reaper) }
    }
}

/// To be dropped when the terminal's modes are restored.
#[derive(Debug)]
pub struct RestoreAtEnd {
    reaper: Arc<ReaperClient>,
}

impl Drop for RestoreAtEnd {
    fn drop(&mut self) {
        self.reaper.release_terminal();
    }
}

/// A terminal and its modes, as the reaper keeps them.
#[derive(Debug)]
pub(super) struct SavedModes {
    terminal: OwnedFd,
    modes: Termios,
}

impl SavedModes {
    /// `None` when it is not a terminal, or is gone.
    pub(super) fn of(terminal: OwnedFd) -> Option<Self> {
        let modes = tcgetattr(&terminal).ok()?;
        Some(Self { terminal, modes })
    }

    /// Restores the modes from raw mode only: another program may have set its own by now.
    pub(super) fn restore(self) {
        let Self { terminal, modes } = self;
        if tcgetattr(&terminal).is_ok_and(|now| is_raw(&now)) {
            // Best effort: a terminal that is gone needs nothing.
            let _ = tcsetattr(&terminal, SetArg::TCSANOW, &modes);
        }
    }
}

/// Line editors read single keys as well, but leave Ctrl-C and line ends to the terminal.
fn is_raw(modes: &Termios) -> bool {
    !modes.local_flags.intersects(LocalFlags::ICANON | LocalFlags::ISIG)
        && !modes.output_flags.contains(OutputFlags::OPOST)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::{pty::openpty, sys::termios::cfmakeraw};

    use super::*;

    #[test]
    fn modes_are_restored_from_raw_mode_only() {
        let pty = openpty(None, None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        // As an editor of lines sets them.
        let edits = |modes: &mut Termios| modes.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        for (change, is_given_back) in [(cfmakeraw as fn(&mut Termios), true), (edits, false)] {
            tcsetattr(&pty.slave, SetArg::TCSANOW, &before).unwrap();
            let saved = SavedModes::of(pty.slave.try_clone().unwrap()).unwrap();
            let mut modes = before.clone();
            change(&mut modes);
            tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).unwrap();
            saved.restore();
            let now = tcgetattr(&pty.slave).unwrap();
            let expected = if is_given_back { &before } else { &modes };
            assert_eq!((now.local_flags, now.output_flags), (expected.local_flags, expected.output_flags));
        }
        assert!(SavedModes::of(File::open("/dev/null").unwrap().into()).is_none(), "no terminal");
    }
}
