//! QMP, the protocol of QEMU's monitor: commands, their answers, and events, with the types of the `qapi` crate.
//!
//! Messages have a bound, since a guest that has taken over QEMU can write them.

use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use qapi::{
    Any, Command, Execute,
    qmp::{Event, QmpMessage, getfd, qmp_capabilities},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest},
    net::UnixStream,
};
use tracing::debug;

/// The longest message: QEMU's have a few hundred bytes.
const MESSAGE_BYTES: u64 = 64 * 1024;

/// A connection to a monitor.
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
    message: Vec<u8>,
    negotiated: bool,
}

impl Qmp {
    /// A connection on which nothing was sent yet.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream), message: Vec::new(), negotiated: false }
    }

    /// Ends the negotiation, unless that was done: from then on QEMU takes commands and sends events.
    pub(super) async fn negotiate(&mut self) -> Result<()> {
        if !self.negotiated {
            self.execute(qmp_capabilities { enable: None }).await?;
            self.negotiated = true;
        }
        Ok(())
    }

    /// Executes a command. Events that come before its answer are dropped.
    ///
    /// # Errors
    /// QEMU's, or those of the connection.
    pub(super) async fn execute<C: Command>(&mut self, command: C) -> Result<C::Ok> {
        let line = line(command)?;
        self.stream.write_all(&line).await.with_context(|| format!("send {} to QEMU", C::NAME))?;
        self.answer::<C>().await
    }

    /// Gives QEMU a descriptor, under a name.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub(super) async fn give(&mut self, name: &str, fd: BorrowedFd<'_>) -> Result<()> {
        let line = line(getfd { fdname: name.into() })?;
        let fds = [fd.as_raw_fd()];
        let stream = self.stream.get_ref();
        let sent = stream.async_io(Interest::WRITABLE, || send(stream.as_raw_fd(), &line, &fds)).await;
        let sent = sent.context("send a descriptor to QEMU")?;
        self.stream.write_all(&line[sent..]).await.context("send getfd to QEMU")?;
        self.answer::<getfd>().await?;
        Ok(())
    }

    /// The next event; answers and unknown events are dropped. `None` if the connection closes, or sends a message that is too long.
    pub(super) async fn event(&mut self) -> Option<Event> {
        loop {
            self.receive().await.ok().filter(|received| *received)?;
            if let Ok(QmpMessage::Event(event)) = serde_json::from_slice::<QmpMessage<Any>>(&self.message) {
                return Some(event);
            }
        }
    }

    async fn answer<C: Command>(&mut self) -> Result<C::Ok> {
        loop {
            let doing = || format!("wait for QEMU's answer to {}", C::NAME);
            if !self.receive().await.with_context(doing)? {
                bail!("QEMU has closed its monitor before it answered {}", C::NAME);
            }
            // The greeting, events and unknown events are no answers.
            match serde_json::from_slice(&self.message) {
                Ok(QmpMessage::<C::Ok>::Response(response)) => {
                    return response.result().map_err(|error| anyhow!("QEMU refused {}: {error}", C::NAME));
                }
                Ok(QmpMessage::Event(_)) | Err(_) => {}
            }
        }
    }

    /// Reads one message; false if the connection has ended, or the message is too long.
    async fn receive(&mut self) -> io::Result<bool> {
        self.message.clear();
        (&mut self.stream).take(MESSAGE_BYTES).read_until(b'\n', &mut self.message).await?;
        debug!(message = %String::from_utf8_lossy(&self.message).trim_end(), "message of the monitor");
        Ok(self.message.last() == Some(&b'\n'))
    }
}

fn line<C: Command>(command: C) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Execute::<_, ()>::new(command, None)).context("encode a command")?;
    line.push(b'\n');
    Ok(line)
}

/// Sends bytes with descriptors; returns how many were sent.
fn send(socket: RawFd, bytes: &[u8], fds: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(fds)];
    Ok(sendmsg::<()>(socket, &[IoSlice::new(bytes)], &rights, MsgFlags::MSG_NOSIGNAL, None)?)
}

#[cfg(test)]
pub(super) mod tests {
    use qapi::qmp::{query_migrate, stop};

    use super::*;

    /// Answers each command with a line of `answers`, after a greeting.
    pub(in crate::backend::qemu) async fn dialogue(
        answers: &[&str],
    ) -> (Qmp, tokio::task::JoinHandle<Vec<String>>) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let answers: Vec<String> = answers.iter().map(|line| format!("{line}\n")).collect();
        let commands = tokio::spawn(async move {
            let mut theirs = BufReader::new(theirs);
            theirs.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n").await.expect("greeted");
            let mut commands = Vec::new();
            for answer in answers {
                let mut command = String::new();
                theirs.read_line(&mut command).await.expect("a command");
                commands.push(command.trim_end().to_owned());
                theirs.write_all(answer.as_bytes()).await.expect("answered");
            }
            commands
        });
        (Qmp::new(ours), commands)
    }

    #[tokio::test]
    async fn commands_get_their_answers_and_errors_are_qemus() {
        let event = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#;
        let (mut qmp, commands) = dialogue(&[
            r#"{"return": {}}"#,
            &format!("{event}\n{{\"return\": {{\"status\": \"active\"}}}}"),
            r#"{"error": {"class": "GenericError", "desc": "no such thing"}}"#,
        ])
        .await;
        qmp.negotiate().await.expect("negotiated");
        let info = qmp.execute(query_migrate {}).await.expect("answered");
        assert_eq!(info.status, Some(qapi::qmp::MigrationStatus::active));
        let error = qmp.execute(stop {}).await.expect_err("refused");
        assert!(
            format!("{error:#}").contains("QEMU refused stop")
                && format!("{error:#}").contains("no such thing")
        );
        let commands = commands.await.expect("no panic");
        assert_eq!(
            commands,
            [
                r#"{"execute":"qmp_capabilities","arguments":{}}"#,
                r#"{"execute":"query-migrate","arguments":{}}"#,
                r#"{"execute":"stop","arguments":{}}"#
            ]
        );
        let error = qmp.execute(stop {}).await.expect_err("closed");
        assert!(format!("{error:#}").contains("stop"), "{error:#}");
    }
}
