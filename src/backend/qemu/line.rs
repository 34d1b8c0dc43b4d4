//! A QEMU command line: switches and their values, and the numbers of the descriptors that they name.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use super::device::Device;

/// The numbers of QEMU's descriptors.
pub(super) mod fd {
    /// The agent's channel: a connected socket.
    pub(crate) const AGENT: i32 = 10;
    /// The guest's console: a connected socket, read by kiln.
    pub(crate) const CONSOLE: i32 = 11;
    /// The scratch disk: an unlinked file.
    pub(crate) const SCRATCH: i32 = 12;
    /// The connection to the server of the cache.
    pub(crate) const CACHE: i32 = 13;
    /// The lease of the cache, which QEMU only holds.
    pub(crate) const LEASE: i32 = 14;
    /// The guest's network card: a socket that is connected to kiln's packet filter.
    pub(crate) const CARD: i32 = 15;
    /// SLIRP: a socket that is connected to kiln's packet filter.
    pub(crate) const SLIRP: i32 = 16;
    /// QMP: a connected socket.
    pub(crate) const MONITOR: i32 = 17;
    /// The connection to the server of the source.
    pub(crate) const SOURCE: i32 = 18;
    /// The state of a template.
    pub(crate) const STATE: i32 = 19;
    /// The memory of a guest that is restored with servers of shares: a copy of the template's.
    pub(crate) const MEMORY: i32 = 20;
}

/// A path in an option: QEMU reads two commas as one.
pub(super) fn escape(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    let doubled = bytes.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == b',' { 2 } else { 1 }));
    OsString::from_vec(doubled.collect())
}

/// A command line.
pub(super) struct Line(Vec<OsString>);

impl Line {
    /// The line of a program.
    pub(super) fn new(program: &Path) -> Self {
        Self(vec![program.into()])
    }

    /// All words, the program first.
    pub(super) fn words(self) -> Vec<OsString> {
        self.0
    }

    /// A switch without a value.
    pub(super) fn flag(&mut self, switch: &str) {
        self.0.push(switch.into());
    }

    /// A switch with its value.
    pub(super) fn opt(&mut self, switch: &str, value: impl AsRef<OsStr>) {
        self.0.push(switch.into());
        self.0.push(value.as_ref().into());
    }

    /// A device.
    pub(super) fn device(&mut self, device: Device<'_>) {
        self.opt("-device", device.switch());
    }

    /// A path as the whole value, which QEMU does not split.
    pub(super) fn path(&mut self, switch: &str, path: &Path) {
        self.opt(switch, path);
    }
}
