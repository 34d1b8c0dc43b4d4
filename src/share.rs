//! Host directories served to a guest.
//!
//! Before it: [`virtiofsd`], and a run directory. After it: the runner, which passes the connected descriptor to QEMU. It must not
//! know QEMU's command line.

mod arguments;
pub mod embedded;
mod sandbox;
mod server;
mod spawned;
pub mod virtiofsd;

use std::path::PathBuf;

use kiln_protocol::Access;

pub use self::{
    sandbox::{Sandbox, sandbox},
    server::{Daemon, DaemonExit, Server},
};

/// The cache policy of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// Cached entries are revalidated after a second: other processes may change the directory.
    Shared,
    /// Names are cached without a limit, attributes for a second (by virtiofsd, without a limit): the guest only reads, and other
    /// processes may change the directory meanwhile. An overlay above it fails with ESTALE where a name that it knows leads to
    /// another file; with this policy the guest keeps the file that it knows.
    Names,
    /// Entries are cached without a limit, and writes until the file is closed: no other process uses the directory.
    Alone,
}

/// A directory to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its path, absolute.
    pub path: PathBuf,
    /// The access of the guest, enforced on the host.
    pub access: Access,
    /// The cache policy of the guest.
    pub caching: Caching,
    /// The owner of the files in the guest: uid and gid.
    pub inside: (u32, u32),
}

/// The owner of files on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}
