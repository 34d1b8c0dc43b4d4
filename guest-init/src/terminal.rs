//! A pseudo-terminal for an interactive step.
//!
//! [`exec`] gives one end to the step; [`output`](crate::output) reads the other, [`input`](crate::input) writes to it.

use std::{fs::File, io::Error, os::unix::fs::fchown};

use anyhow::{Context, Result};
use kiln_protocol::Terminal;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    pty::{OpenptyResult, openpty},
    sys::termios::{InputFlags, SetArg, tcgetattr, tcsetattr},
};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::exec;

/// Ctrl-D, by which a terminal signals the end of input.
pub(crate) const END_OF_FILE: u8 = 4;

/// Both ends of a pseudo-terminal.
pub(crate) struct Pair {
    /// The agent's; reads and writes do not block.
    pub(crate) ours: File,
    /// The step's.
    pub(crate) theirs: File,
}

/// Makes one of that size; it belongs to `uid`, which may open it by its name as well.
pub(crate) fn open(terminal: &Terminal, uid: u32) -> Result<Pair> {
    let OpenptyResult { master, slave } = openpty(None, None).context("make a terminal")?;
    let ours = File::from(master);
    resize(&ours, terminal.rows, terminal.columns)?;
    let mut modes = tcgetattr(&slave).context("read the terminal's modes")?;
    // Without it a backspace removes one byte of a character.
    modes.input_flags |= InputFlags::IUTF8;
    tcsetattr(&slave, SetArg::TCSANOW, &modes).context("set the terminal's modes")?;
    fchown(&slave, Some(uid), None)
        .with_context(|| format!("change the owner of the terminal to uid {uid}"))?;
    exec::allow_opening(&slave)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))
        .context("make the terminal non-blocking")?;
    Ok(Pair { ours, theirs: slave.into() })
}

/// Gives the terminal another size, of which the kernel tells the foreground processes (SIGWINCH).
pub(crate) fn resize(ours: &File, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(ours, size).context("set the terminal's size")
}

/// Whether an error of a read means that no process has the step's end open.
pub(crate) fn is_closed(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}
