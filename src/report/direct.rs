//! What a command prints that has no events: its data on stdout, an error on stderr.

use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};

use anyhow::{Context, Error, Result};

use super::clean::{Colour, clean};
use crate::exit::{Code, Failure, way_out_of};

/// Prints data to stdout. A reader that has gone away (`kiln plan | head`) is no error.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(text: &str) -> Result<Code> {
    let written = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to stdout"),
        Ok(()) | Err(_) => Ok(Code::Success),
    }
}

/// A name that a guest may have given, fit for a line of a terminal.
pub fn name(name: &str) -> String {
    clean(&name.replace(['\r', '\n'], "\u{fffd}"), Colour::Drop)
}

/// Where data goes that is no text, if somebody asked for that.
///
/// # Errors
/// A usage failure where that is a terminal.
pub fn data() -> Result<impl Write> {
    if stdout().is_terminal() {
        let what = "an archive is nothing for a terminal";
        return Err(Failure::usage(what, "name a file, or send the output elsewhere").into());
    }
    Ok(stdout().lock())
}

/// Prints an error and its way out to stderr.
pub fn error(error: &Error) {
    let way_out = way_out_of(error).map_or(String::new(), |text| format!("  {text}\n"));
    // Parts of it may come from a guest or a file.
    let text = format!("kiln: {error:#}\n{way_out}");
    let text: String = text.lines().map(|line| clean(line, Colour::Drop) + "\n").collect();
    // best effort: there is nowhere else to say it.
    let _ = stderr().write_all(text.as_bytes());
}
