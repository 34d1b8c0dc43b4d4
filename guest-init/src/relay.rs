//! Ports of loopback whose connections are forwarded to the same ports of the host, through the channel.
//!
//! Nothing here blocks. A connection costs the memory of its window, and no more than [`RELAYED`] are open at once.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
};

use anyhow::{Context, Result, ensure};
use kiln_protocol::{Chunk, ForwardData, FromGuest, RELAY_WINDOW, RELAYED, frame::MAX_DATA};
use nix::poll::{PollFd, PollFlags};

use crate::port::Port;

/// All ports and connections.
#[derive(Default)]
pub(crate) struct Relay {
    listeners: Vec<Listener>,
    connections: Vec<Connection>,
    next: u32,
}

/// A port that is listened on.
struct Listener {
    port: u16,
    socket: TcpListener,
}

/// A connection that a process has made.
struct Connection {
    id: u32,
    stream: TcpStream,
    /// From the host, not written yet.
    queue: VecDeque<u8>,
    /// How many bytes more the host takes.
    credit: usize,
    /// From the process to the host.
    from_process: Half,
    /// From the host to the process.
    to_process: Half,
}

/// One direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    /// The end has been announced, but not all bytes have been forwarded.
    Ending,
    Ended,
}

impl Relay {
    /// Listens on both addresses of loopback.
    pub(crate) fn listen(&mut self, ports: &[u16]) -> Result<()> {
        for &port in ports {
            ensure!(port != 0, "port 0 of loopback cannot be listened on");
            let context = || format!("listen on port {port} of loopback");
            let usual = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(context)?;
            // Not every kernel or container has IPv6; clients that are refused there try the other address.
            let other = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
            for socket in [usual].into_iter().chain(other) {
                socket.set_nonblocking(true).with_context(context)?;
                self.listeners.push(Listener { port, socket });
            }
        }
        Ok(())
    }

    /// Takes data from the host; data for a closed connection is dropped.
    pub(crate) fn take(&mut self, ForwardData { connection, piece }: ForwardData) -> Result<()> {
        let Some(at) = self.connections.iter().position(|open| open.id == connection) else { return Ok(()) };
        let open = &mut self.connections[at];
        match piece {
            Chunk::Bytes(bytes) if bytes.is_empty() => open.to_process = Half::Ending,
            Chunk::Bytes(bytes) => {
                ensure!(open.queue.len() + bytes.len() <= RELAY_WINDOW, "more came than a window takes");
                open.queue.extend(bytes);
            }
            Chunk::Taken(count) => open.credit = (open.credit + count as usize).min(RELAY_WINDOW),
            Chunk::Broken => drop(self.connections.swap_remove(at)),
        }
        Ok(())
    }

    /// The descriptors to poll. A connection that waits for the host is left out: poll would report its end at once, again and again.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = PollFd<'_>> {
        let room = self.connections.len() < RELAYED;
        let listeners = self.listeners.iter().filter(move |_| room);
        let listeners = listeners.map(|listener| PollFd::new(listener.socket.as_fd(), PollFlags::POLLIN));
        listeners.chain(self.connections.iter().filter_map(|open| {
            let events = open.events();
            let fd: BorrowedFd<'_> = open.stream.as_fd();
            (!events.is_empty()).then(|| PollFd::new(fd, events))
        }))
    }

    /// Takes new connections, and moves a piece of each in both directions.
    pub(crate) fn forward(&mut self, port: &mut Port) -> Result<()> {
        if !port.has_room() {
            return Ok(());
        }
        self.accept(port)?;
        let mut kept = Vec::with_capacity(self.connections.len());
        for mut open in std::mem::take(&mut self.connections) {
            match open.forward(port)? {
                Ok(()) if open.is_over() => {}
                Ok(()) => kept.push(open),
                // The host need not know why the connection broke.
                Err(_) => port.send(&forward_data(open.id, Chunk::Broken))?,
            }
        }
        self.connections = kept;
        Ok(())
    }

    fn accept(&mut self, port: &mut Port) -> Result<()> {
        for listener in &self.listeners {
            while self.connections.len() < RELAYED {
                // An error of accept(2) concerns the client only.
                let Ok((stream, _)) = listener.socket.accept() else { break };
                stream.set_nonblocking(true).context("make a connection non-blocking")?;
                let id = self.next;
                self.next = self.next.wrapping_add(1);
                port.send(&FromGuest::Connected { connection: id, port: listener.port })?;
                self.connections.push(Connection {
                    id,
                    stream,
                    queue: VecDeque::new(),
                    credit: RELAY_WINDOW,
                    from_process: Half::Open,
                    to_process: Half::Open,
                });
            }
        }
        Ok(())
    }
}

fn forward_data(connection: u32, piece: Chunk) -> FromGuest {
    FromGuest::ForwardData(ForwardData { connection, piece })
}

impl Connection {
    fn events(&self) -> PollFlags {
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, self.from_process == Half::Open && self.credit > 0);
        events.set(PollFlags::POLLOUT, !self.queue.is_empty());
        events
    }

    fn is_over(&self) -> bool {
        (self.from_process, self.to_process) == (Half::Ended, Half::Ended)
    }

    /// Moves a piece in each direction. The outer error is the channel's, the inner one the connection's.
    fn forward(&mut self, port: &mut Port) -> Result<io::Result<()>> {
        match self.write() {
            Ok(0) => {}
            // At most a window, which fits.
            Ok(count) => port.send(&forward_data(self.id, Chunk::Taken(count as u32)))?,
            Err(error) => return Ok(Err(error)),
        }
        match self.read() {
            Ok(None) => Ok(Ok(())),
            Ok(Some(bytes)) => port.send(&forward_data(self.id, Chunk::Bytes(bytes))).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Writes as much as the process takes now. Returns how many bytes that was.
    fn write(&mut self) -> io::Result<usize> {
        let before = self.queue.len();
        while !self.queue.is_empty() {
            match self.stream.write(self.queue.as_slices().0) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.queue.is_empty() && self.to_process == Half::Ending {
            self.stream.shutdown(Shutdown::Write)?;
            self.to_process = Half::Ended;
        }
        Ok(before - self.queue.len())
    }

    /// Reads a piece if the host has credit for it; an empty one is the end.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.from_process != Half::Open || self.credit == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; self.credit.min(MAX_DATA)];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                bytes.truncate(count);
                self.credit -= count;
                if count == 0 {
                    self.from_process = Half::Ended;
                }
                Ok(Some(bytes))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_of_loopback_are_listened_on() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = free.local_addr().expect("it has one").port();
        drop(free);
        let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let mut relay = Relay::default();
        relay.listen(&[port]).expect("it is free");
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("listened on");
        assert_eq!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_ok(), has_ipv6);
        assert_eq!(relay.waits_for().count(), 1 + usize::from(has_ipv6));
    }

    #[test]
    fn port_0_is_refused() {
        assert!(Relay::default().listen(&[0]).is_err());
    }
}
