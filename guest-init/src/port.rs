//! The channel to the host: requests in, answers out, both non-blocking.
//!
//! Made by [`boot`](crate::boot) or [`stdio`](crate::stdio), used by [`session`](crate::session). It knows frames, not their
//! meaning.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use anyhow::{Context, Result};
use kiln_protocol::{
    FromGuest, ToGuest, VERSION,
    frame::{Decoder, MAX_FRAME, MAX_REQUEST, encode},
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    time::{ClockId, clock_gettime},
};

use crate::{late_devices::Places, queue::Queue};

/// The most bytes of queued answers. Above it nothing more is read from steps or files: a slow host slows them down, and a
/// control answer waits for no more than this and one frame.
const QUEUE: usize = 256 * 1024;

/// How much is read at once.
const READ: usize = 64 * 1024;

/// Whether the host has the channel open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It has.
    There,
    /// It has closed the channel.
    Gone,
}

/// The channel.
pub(crate) struct Port {
    input: File,
    output: File,
    decoder: Decoder,
    queue: Queue,
    buffer: Box<[u8]>,
}

impl Port {
    /// Sends Hello, then makes the channel non-blocking.
    ///
    /// Hello is written blocking: a virtio-serial port whose host side is not open yet looks like one whose host has gone
    /// (reads give end-of-file, poll gives POLLHUP), but a blocking write to it waits for the host.
    pub(crate) fn greet(input: OwnedFd, output: OwnedFd, places: &Places) -> Result<Self> {
        let (input, mut output) = (File::from(input), File::from(output));
        let hello = encode(&hello(places)?, MAX_FRAME)?;
        output.write_all(&hello).context("say hello")?;
        for fd in [input.as_fd(), output.as_fd()] {
            let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
            fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))
                .context("make the channel non-blocking")?;
        }
        Ok(Self {
            input,
            output,
            decoder: Decoder::default(),
            queue: Queue::default(),
            buffer: vec![0; READ].into_boxed_slice(),
        })
    }

    /// Puts a message into the queue; [`Self::write`] sends it.
    pub(crate) fn send(&mut self, message: &FromGuest) -> Result<()> {
        self.queue.push(message)
    }

    /// Puts [`FromGuest::Data`] into the queue, with the bytes that `fill` writes into its memory, and returns their number; nothing
    /// if there are none.
    pub(crate) fn send_data(&mut self, fill: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<usize> {
        self.queue.push_data(fill)
    }

    /// Whether more output or archive may be put into the queue.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < QUEUE
    }

    /// Whether something waits for [`Self::write`].
    pub(crate) fn wants_to_write(&self) -> bool {
        self.queue.len() > 0
    }

    /// The descriptor to poll before [`Self::receive`].
    pub(crate) fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// The descriptor to poll before [`Self::write`].
    pub(crate) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Reads bytes that have arrived.
    pub(crate) fn receive(&mut self) -> Result<Peer> {
        match self.input.read(&mut self.buffer) {
            Ok(0) => Ok(Peer::Gone),
            Ok(count) => {
                self.decoder.push(&self.buffer[..count]);
                Ok(Peer::There)
            }
            Err(error) => peer_after(error).context("read a request"),
        }
    }

    /// The next complete request.
    pub(crate) fn request(&mut self) -> Result<Option<ToGuest>> {
        self.decoder.next(MAX_REQUEST).context("decode a request")
    }

    /// Sends as much of the queue as the channel takes now.
    pub(crate) fn write(&mut self) -> Result<Peer> {
        while self.wants_to_write() {
            match self.output.write(self.queue.bytes()) {
                Ok(count) => self.queue.sent(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => match peer_after(error).context("send an answer")? {
                    Peer::There => {}
                    Peer::Gone => return Ok(Peer::Gone),
                },
            }
        }
        Ok(Peer::There)
    }

    /// Sends the whole queue, waiting for the host; returns early when it has gone.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.write()? == Peer::There && self.wants_to_write() {
            let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
            poll(&mut fds, PollTimeout::NONE).context("wait for the host")?;
            let hung_up = PollFlags::POLLHUP | PollFlags::POLLERR;
            if fds[0].revents().is_some_and(|events| events.intersects(hung_up)) {
                break;
            }
        }
        Ok(())
    }
}

/// What the agent says of itself.
pub(crate) fn hello(places: &Places) -> Result<FromGuest> {
    let uptime = clock_gettime(ClockId::CLOCK_MONOTONIC).context("read the clock")?;
    let uptime_us = std::time::Duration::from(uptime).as_micros() as u64;
    let Places { free_transports, pci_slots } = *places;
    Ok(FromGuest::Hello { version: VERSION, uptime_us, free_transports, pci_slots })
}

/// Whether the host is there after this error of the channel.
fn peer_after(error: io::Error) -> io::Result<Peer> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(Peer::There),
        // ENODEV: the port was unplugged.
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Ok(Peer::Gone),
        _ if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(Peer::Gone),
        _ => Err(error),
    }
}
