//! The host's side of the protocol: messages to the agent and from it.
//!
//! A runner gives the byte channel; `engine` decides what to send. No message of the agent is trusted: frames are bounded before
//! they are read, and an unexpected message is an error that names it.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, ErrorKind},
    pin::Pin,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use kiln_protocol::{FromGuest, ToGuest, VERSION, frame};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until},
};

/// The bytes from the agent.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;
/// The bytes to the agent.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// The bytes taken from the channel in one read: two of the largest frames.
const READ_BYTES: usize = 128 * 1024;
/// Bytes that may wait to be sent; above this, relays and consoles have to wait.
const QUEUE: usize = 256 * 1024;

/// How long the agent may read nothing while there is something to send: it reads even while it cannot write.
const UNREAD_LIMIT: Duration = Duration::from_secs(30);

/// The agent reads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the agent has read nothing for {} s", UNREAD_LIMIT.as_secs())
    }
}

impl std::error::Error for Unread {}

/// A session with an agent.
pub struct Session {
    reader: Reader,
    writer: Writer,
    decoder: frame::Decoder,
    buffer: Vec<u8>,
    /// Bytes to be written during [`Session::recv`].
    queue: VecDeque<u8>,
    /// Since when nothing of the queue could be written.
    unread_since: Option<Instant>,
}

impl Session {
    /// A session over a channel that has not been used yet.
    pub fn new(reader: Reader, writer: Writer) -> Self {
        let (decoder, buffer) = (frame::Decoder::default(), vec![0; READ_BYTES]);
        Self { reader, writer, decoder, buffer, queue: VecDeque::new(), unread_since: None }
    }

    /// The channel again, for another session: nothing may wait to be sent or decoded.
    pub fn into_channel(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// Whether more may be put into the queue.
    pub fn has_room(&self) -> bool {
        self.queue.len() < QUEUE
    }

    /// Whether everything in the queue has been sent.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Puts a message into the queue; it is sent during [`Self::recv`].
    ///
    /// # Errors
    /// When the message is too large for a frame.
    pub fn queue(&mut self, message: &ToGuest) -> Result<()> {
        self.queue.extend(encode(message)?);
        Ok(())
    }

    /// The next message; `None` at the end of the channel. May be dropped while it waits: no byte is lost.
    ///
    /// # Errors
    /// When the bytes are not a frame, the channel breaks, or the agent has another version; [`Unread`] when nothing could be sent
    /// for too long.
    pub async fn recv(&mut self) -> Result<Option<FromGuest>> {
        loop {
            let message =
                self.decoder.next(frame::MAX_FRAME).map_err(|error| anyhow!("the agent sent {error}"))?;
            match message {
                Some(FromGuest::Hello { version, .. }) if version != VERSION => {
                    return Err(anyhow!(
                        "the agent has version {version} of the protocol, kiln has {VERSION}"
                    ));
                }
                Some(message) => return Ok(Some(message)),
                None => {}
            }
            let Self { reader, writer, buffer, queue, unread_since, .. } = self;
            let unread = match queue.is_empty() {
                true => None,
                false => Some(*unread_since.get_or_insert_with(Instant::now) + UNREAD_LIMIT),
            };
            // Both are cancel-safe: when this future is dropped, nothing has been taken from the channel or from the queue.
            let read = tokio::select! {
                () = sleep_until(unread.unwrap_or_else(Instant::now)), if unread.is_some() => return Err(Unread.into()),
                read = reader.read(buffer) => read,
                written = write_some(writer, queue), if !queue.is_empty() => match written {
                    Ok(()) => { *unread_since = None; continue }
                    // The agent is gone: the next read is the end of the channel, and the machine says why.
                    Err(error) if gone(&error) => { queue.clear(); continue }
                    Err(error) => return Err(error).context("write to the agent"),
                },
            };
            match read {
                Ok(0) => return Ok(None),
                Ok(count) => self.decoder.push(&self.buffer[..count]),
                // QEMU was killed before it had read everything: that is an end, too.
                Err(error) if gone(&error) => return Ok(None),
                Err(error) => return Err(error).context("read from the agent"),
            }
        }
    }
}

fn encode(message: &ToGuest) -> Result<Vec<u8>> {
    frame::encode(message, frame::MAX_REQUEST).context("encode a request to the agent")
}

/// Writes as much of the queue as the channel takes at once.
async fn write_some(writer: &mut Writer, queue: &mut VecDeque<u8>) -> io::Result<()> {
    match writer.write(queue.as_slices().0).await? {
        0 => Err(ErrorKind::BrokenPipe.into()),
        count => {
            queue.drain(..count);
            Ok(())
        }
    }
}

/// Whether the other side of a channel has ended.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_killed_peer_is_an_end_and_not_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (reader, writer) = tokio::io::split(tokio::net::UnixStream::from_std(ours).unwrap());
        let mut session = Session::new(Box::pin(reader), Box::pin(writer));
        session.queue(&ToGuest::Shutdown).unwrap();
        let sent = tokio::time::timeout(Duration::from_secs(1), session.recv());
        assert!(sent.await.is_err() && session.is_idle(), "nothing is received while it is sent");
        // It has not read the message: the kernel resets the connection.
        drop(theirs);
        session.queue(&ToGuest::Shutdown).unwrap();
        assert_eq!(session.recv().await.unwrap(), None);
        assert_eq!(session.recv().await.unwrap(), None);
    }
}
