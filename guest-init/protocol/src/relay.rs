//! Connections of steps to ports of loopback, which are forwarded through the channel to the same ports of the host.
//!
//! ```text
//! step -> agent (listens) -> Connected, ForwardData -> kiln -> the host's port
//! ```
//!
//! The agent numbers the connections. Each direction has its own window, so that a peer that does not read blocks no other one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes of one connection that may be on their way in one direction, not [`Chunk::Taken`] yet.
pub const RELAY_WINDOW: usize = 256 * 1024;

/// The most connections that are open at once.
pub const RELAYED: usize = 256;

/// A piece of data of a connection, in either direction.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardData {
    /// The number that the agent gave the connection.
    pub connection: u32,
    /// The data.
    pub piece: Chunk,
}

/// The data of a connection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chunk {
    /// Bytes, at most [`crate::frame::MAX_DATA`] of them; none mean the end of this direction.
    Bytes(#[serde(with = "crate::bytes")] Vec<u8>),
    /// How many bytes of the other side have been delivered: the window is open for as many more.
    Taken(u32),
    /// The connection is broken, or could not be made: nothing more comes in either direction.
    Broken,
}

/// Without the bytes: a request to a proxy contains its password.
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
