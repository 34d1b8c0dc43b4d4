//! A filter program: it reads its standard input, and its exit status is the answer.
//!
//! Unlike the children of a [`super::Spawner`] it may run from any thread, without a runtime and without the reaper: it reads a pipe
//! from kiln only, and so ends with kiln.

use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

/// Runs a filter with an empty environment, and ignores its output; whether it ended with success.
///
/// # Errors
/// When the program cannot be started or waited for. It may stop reading early: its status says why.
pub fn passes_filter(program: &str, arguments: &[&str], input: &[u8]) -> io::Result<bool> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("stdin was piped above");
    match stdin.write_all(input) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        Ok(()) | Err(_) => drop(stdin),
    }
    child.wait().map(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_answer() {
        for (script, input, answer) in [
            ("read line; test \"$line\" = yes", "yes\n".to_owned(), true),
            ("read line; test \"$line\" = yes", "no\n".to_owned(), false),
            // It may stop reading long before the end.
            ("exit 3", "x".repeat(1 << 20), false),
            ("exit 0", "x".repeat(1 << 20), true),
        ] {
            let answered = passes_filter("sh", &["-c", script], input.as_bytes());
            assert_eq!(answered.ok(), Some(answer), "{script}");
        }
        assert!(passes_filter("kiln-has-no-such-program", &[], b"").is_err());
    }
}
