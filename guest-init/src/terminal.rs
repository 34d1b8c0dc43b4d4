//! A pseudo-terminal for a step that a person sits at.
//!
//! [`exec`] gives its one end to the step; the other is read by [`output`](crate::output) and written by
//! [`input`](crate::input).

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

/// Ctrl-D: what a terminal's reader takes for the end of its input.
pub(crate) const END_OF_FILE: u8 = 4;

/// Both ends of a pseudo-terminal.
pub(crate) struct Pair {
    /// The agent's; reads and writes do not block.
    pub(crate) ours: File,
    /// The step's.
    pub(crate) theirs: File,
}

/// Makes one of that size; it belongs to `uid`, who may open it by its name as well.
pub(crate) fn open(terminal: &Terminal, uid: u32) -> Result<Pair> {
    let OpenptyResult { master, slave } = openpty(None, None).context("make a terminal")?;
    let ours = File::from(master);
    resize(&ours, terminal.rows, terminal.columns)?;
    let mut modes = tcgetattr(&slave).context("read the terminal's modes")?;
    // Without it a backspace takes one byte of a character, not all.
    modes.input_flags |= InputFlags::IUTF8;
    tcsetattr(&slave, SetArg::TCSANOW, &modes).context("set the terminal's modes")?;
    fchown(&slave, Some(uid), None).with_context(|| format!("give the terminal to uid {uid}"))?;
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

/// Whether reading says that nobody has the step's end open any more.
pub(crate) fn is_closed(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}
