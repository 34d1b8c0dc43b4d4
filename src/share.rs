//! Host directories served to a guest.
//!
//! Before it: [`virtiofsd`], and a run directory. After it: the runner, which hands the connected descriptor to
//! QEMU. It must not know how QEMU is told.

pub mod arguments;
pub mod spawned;
pub mod virtiofsd;

use std::path::PathBuf;

use kiln_protocol::Access;

/// What the guest may keep of what it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// What it may not use without asking again after a second: others change the directory, too.
    Shared,
    /// Everything, and its own writes until the file is closed: nobody else uses the directory meanwhile.
    Alone,
}

/// How the daemon is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Namespaces of its own and the shared directory as its root; an ordinary user needs user namespaces for it.
    Namespace,
    /// The shared directory as its root: for root in a container that may not make namespaces, or
    /// in a chroot.
    Chroot,
}

/// A directory to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// Whether the guest may change what it sees. Enforced on the host's side.
    pub access: Access,
    /// What it may keep.
    pub caching: Caching,
    /// Whom the files belong to inside: uid and gid.
    pub inside: (u32, u32),
}

/// The user on whose behalf, outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Who owns what is written.
    pub uid: u32,
    /// Their group.
    pub gid: u32,
}
