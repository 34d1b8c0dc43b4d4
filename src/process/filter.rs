//! A filter that is asked for a verdict: it reads its standard input to the end, and its status is the answer.
//!
//! Unlike the children of a [`super::Spawner`] it may be asked from any thread, without a runtime and without the reaper: what
//! only reads a pipe of kiln's ends when kiln does, however that ends.

use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

/// Runs a filter that prints nothing worth reading, with an empty environment; whether it ended with success.
///
/// # Errors
/// A program that cannot be started or waited for. That it stops reading before the end is none: its status says why.
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
