//! Connections that steps make to ports of loopback and that lead, through the wire, to the same ports of the host's.
//!
//! ```text
//! step -> agent (listens) -> Opened, ForwardData -> kiln -> the host's port
//! ```
//!
//! The agent names the connections. Each direction has a window of its own, so that one who does not read holds up nobody else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes of one connection that may be on their way in one direction, not [`Chunk::Taken`] yet.
pub const RELAY_WINDOW: usize = 256 * 1024;

/// The most connections that are open at once.
pub const RELAYED: usize = 256;

/// A piece of what passes through a connection, in either direction.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardData {
    /// The number that the agent gave the connection.
    pub connection: u32,
    /// What passes.
    pub piece: Chunk,
}

/// What passes through a connection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chunk {
    /// Bytes, at most [`crate::frame::MAX_DATA`] of them; none: no more come in this direction.
    Bytes(#[serde(with = "crate::bytes")] Vec<u8>),
    /// So many bytes of the other side's have been handed on: the window is open for as many more.
    Taken(u32),
    /// The connection is broken, or was never made: nothing more comes in either direction.
    Broken,
}

/// Without what passes: a request to a proxy holds its password.
impl fmt::Debug for ForwardData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, piece } = self;
        match piece {
            Chunk::Bytes(bytes) => write!(f, "ForwardData({connection}: {} bytes)", bytes.len()),
            Chunk::Taken(count) => write!(f, "ForwardData({connection}: {count} taken)"),
            Chunk::Broken => write!(f, "ForwardData({connection}: broken)"),
        }
    }
}
