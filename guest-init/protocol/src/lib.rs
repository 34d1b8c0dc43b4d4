//! The protocol between kiln and its agent: the messages, and how they are framed.
//!
//! kiln (the host) and guest-init (the agent) share one byte channel: a virtio-serial port of a microVM, or the
//! stdin and stdout of a container or sandbox. Both sides send [`frame`]s; the host sends [`ToGuest`], the agent
//! [`FromGuest`]. A session:
//!
//! ```text
//! host                        agent
//!                             Hello { version }
//! Greet                   ->  (a guest that was restored)
//!                         <-  Hello
//! Prepare(GuestConfig)    ->
//!                         <-  Ready { phases } | Failed
//! Trust, Secrets, Relay   ->  (no answer)
//! Clock                   ->  (a microVM; no answer)
//! Run(Step)               ->
//!                         <-  Output*, Ended { status, exhausted } | Refused
//! Input*, Resize          ->  (a step with a pipe or a terminal; never more than the window)
//!                         <-  Consumed*
//!                         <-  Connected, ForwardData*
//! ForwardData*            ->  (a connection that is relayed: at any time, until an export)
//! Cancel                  ->  (kills the running step and all its descendants)
//! Export                  ->
//!                         <-  Data*, Exported | Failed
//! Reads                   ->
//!                         <-  Reads
//! ExportUpper, ListUpper  ->  (kills remaining processes of steps)
//!                         <-  Data*, Exported | Failed
//! Shutdown                ->  (the agent ends, and the guest with it)
//! ```
//!
//! The host need not wait for `Hello` before it sends `Prepare`. The agent trusts the host. The host does not trust the agent: it
//! checks every length before it allocates ([`frame`]), and every value before it uses it.
#![forbid(unsafe_code)]

mod bytes;
mod config;
mod exhausted;
pub mod frame;
mod injected;
mod limit;
pub mod pem;
mod reads;
mod relay;
mod step;

use serde::{Deserialize, Serialize};

pub use config::{
    Access, BootFile, ChownScope, Group, GuestConfig, IdRange, Identity, IfExists, IfGroupExists, Mount,
    MountSource, Network, NetworkNamespace, OnExit, PathChange, PathKind, SeccompFilter, TextFile,
    UserNamespace,
};
pub use exhausted::{Exhausted, FullDirectory, GROUP_FILES, MemoryCounter, MemoryEvents, Room};
pub use injected::{SECRETS, Secret, Secrets, Trust};
pub use limit::{Limit, Resource};
pub use reads::{
    BY_HASH, Completeness, Counted, CountedDirectory, MAX_COUNTED, MAX_UNCLEAR, Reads, UnclearFile,
};
pub use relay::{Chunk, ForwardData, RELAY_WINDOW, RELAYED};
pub use step::{ExitStatus, Stdin, Step, Stream, Terminal, User};

/// The version of this protocol. Host and agent are built together; a mismatch means a stale initramfs.
pub const VERSION: u32 = 16;

/// In the stream of an upper directory, the extended attribute of a file that has more than one name.
pub const LINKED: &str = "trusted.kiln.linked";

/// In the stream of [`ToGuest::ListUpper`], the extended attribute with the size of a file, in decimal.
pub const SIZE: &str = "trusted.kiln.size";

/// In the same stream, the SHA-1 of a file's content (20 bytes): the agent cannot see the lower layer, and the host may compare.
pub const DIGEST: &str = "trusted.kiln.digest";

/// The largest file of [`ToGuest::ReadFile`], in bytes: the longest licences have 100 KiB.
pub const MAX_FILE: usize = 1 << 20;

/// The most files of [`ToGuest::FindFiles`].
pub const MAX_FOUND: usize = 64;

/// The name of the virtio-serial port that carries the protocol (`/sys/class/virtio-ports/*/name`).
pub const PORT_NAME: &str = "kiln.agent";

/// Where the initramfs keeps the [`BootFile`], encoded with postcard.
pub const BOOT_FILE: &str = "/kiln.boot";

/// A request of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest {
    /// Say Hello again, before the guest is prepared; answered by [`FromGuest::Hello`]. A guest that was restored from a template is
    /// asked whether it runs.
    Greet,
    /// Prepare the guest for steps; sent once, answered by [`FromGuest::Ready`] or [`FromGuest::Failed`].
    Prepare(Box<GuestConfig>),
    /// Install the host's certificates; before the first step, not answered.
    Trust(Trust),
    /// Write secrets to a file system in memory; before the first step, not answered.
    Secrets(Secrets),
    /// Set the wall clock; sent before each step, not answered. Only for a microVM: a container's clock is the host's.
    Clock {
        /// The host's time in nanoseconds since the epoch.
        realtime_ns: u64,
    },
    /// Run one step; answered by output, then [`FromGuest::Ended`] or [`FromGuest::Refused`]. One step at a time.
    Run(Step),
    /// Bytes for the running step's stdin; none end it (a pipe is closed, a terminal reads an end-of-file). At most
    /// [`frame::INPUT_WINDOW`] bytes may be on their way, not [`FromGuest::Consumed`] yet. Input without a reader is dropped.
    Input {
        /// The bytes.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// The terminal of the running step has another size now; ignored without a terminal.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters in each.
        columns: u16,
    },
    /// Kill the running step and all descendants of steps (SIGKILL); its `Ended` follows. An export ends with
    /// [`FromGuest::Failed`]. Without a task there is no answer.
    Cancel,
    /// Send the tree below `root` as one tar stream (POSIX pax; numeric owners as seen by steps, with their names in the guest's
    /// `/etc/passwd` and `/etc/group`; xattrs as `SCHILY.xattr.*`). The names of a directory are sorted by their bytes.
    Export {
        /// The directory whose children become the top-level entries of the stream.
        root: String,
        /// Which hard links are kept.
        links: LinkScope,
    },
    /// Report which files below [`GuestConfig::track_reads`] steps have read; answered by [`FromGuest::Reads`], when no step runs.
    Reads,
    /// Send the content of a regular file below a directory, at most [`MAX_FILE`] bytes, when no step runs; answered by
    /// [`FromGuest::Data`], then [`FromGuest::FileRead`], or by [`FromGuest::FileRefused`]. No name and no link leads out of the
    /// directory.
    ReadFile {
        /// The directory.
        root: String,
        /// The file, relative to it.
        path: String,
    },
    /// Report the regular files of a directory, and of the directories in it, whose names have one of these words in them, in
    /// small or capital letters, when no step runs; answered by [`FromGuest::FilesFound`]. Links are not followed.
    FindFiles {
        /// The directory.
        root: String,
        /// The words, in small letters.
        words: Vec<String>,
    },
    /// Send the upper directory of an overlay as one tar stream, in the form of [`ToGuest::Export`]. Remaining processes of steps are
    /// killed first, so that nothing changes meanwhile.
    ///
    /// A character device 0:0 is a whiteout; the xattr `trusted.overlay.opaque=y` marks a directory that hides what lies
    /// below it, also where the overlay was mounted with `userxattr`; the xattr [`LINKED`] marks the first of a file's
    /// several names, some of which may lie elsewhere. A directory that a step has renamed (`redirect_dir`) is sent whole and
    /// marked opaque. The overlay's other xattrs are not sent, and a file whose content lies in a lower layer (`metacopy`) is
    /// refused.
    ExportUpper {
        /// The `target` of a [`Mount::Overlay`] or [`Mount::Upper`] of the configuration, spelled as there.
        target: String,
    },
    /// Send the files and links of an overlay's upper directory, as one tar stream in the form of [`ToGuest::ExportUpper`], but
    /// without content and without directories: each file is empty, with its size as the xattr [`SIZE`]. A file with the content of
    /// the lower one is left out, where the agent can see the lower layer; elsewhere each file has a [`DIGEST`]. Remaining processes
    /// of steps are killed first.
    ListUpper {
        /// As in [`ToGuest::ExportUpper`].
        target: String,
    },
    /// Kill all processes, do what [`GuestConfig::on_exit`] names, flush, and end: power off the microVM, exit in a container or
    /// sandbox.
    Shutdown,
    /// Listen on these ports of loopback, and forward connections; before the first step, not answered.
    Relay(Vec<u16>),
    /// Data from the host's end of a relayed connection.
    ForwardData(ForwardData),
}

/// Which names of a file an export keeps as hard links. Outside of this scope a name has a copy of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkScope {
    /// All names in the stream.
    Stream,
    /// Those below one child of the root: each child becomes an archive of its own, which must be complete.
    Child,
    /// No names: every one has a copy of the content.
    None,
}

/// A message of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromGuest {
    /// The agent runs and takes requests.
    Hello {
        /// [`VERSION`] of the agent.
        version: u32,
        /// Microseconds since the kernel started, as the guest's monotonic clock counts them.
        uptime_us: u64,
        /// The virtio-mmio transports of the machine that have no device.
        free_transports: u32,
        /// The PCI bridges of the machine: each has a slot for a device that is plugged in later.
        pci_slots: u32,
    },
    /// The guest of [`ToGuest::Prepare`] is prepared.
    Ready {
        /// Each phase, in order, and its duration in microseconds: (`modules`, …), (`mounts`, …), ….
        phases: Vec<(String, u64)>,
    },
    /// Bytes that a step wrote; at most [`frame::MAX_DATA`] of them. Each stream is exactly in order.
    Output {
        /// [`Step::index`].
        step: u32,
        /// Which of the step's two streams.
        stream: Stream,
        /// The bytes, as they were written.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// Bytes of [`ToGuest::Input`] have left the agent: the window is open for as many more.
    Consumed {
        /// [`Step::index`].
        step: u32,
        /// How many.
        bytes: u32,
    },
    /// The step's first process has ended, and all its output until then has been sent.
    Ended {
        /// [`Step::index`].
        step: u32,
        /// How it ended.
        status: ExitStatus,
        /// Resources that it may have exhausted; empty for a step that succeeded.
        exhausted: Exhausted,
    },
    /// The step could not be started, for a reason that the build file can fix (an unknown user, a missing shell).
    Refused {
        /// [`Step::index`].
        step: u32,
        /// A sentence: what, where, why.
        why: String,
    },
    /// A piece of the tar stream of [`ToGuest::Export`] or [`ToGuest::ExportUpper`]; at most [`frame::MAX_DATA`] bytes.
    Data(#[serde(with = "bytes")] Vec<u8>),
    /// The tar stream is complete.
    Exported {
        /// How many entries it holds.
        entries: u64,
        /// How many bytes of [`FromGuest::Data`] were sent.
        bytes: u64,
    },
    /// The file of [`ToGuest::ReadFile`] is complete.
    FileRead {
        /// How many bytes of [`FromGuest::Data`] were sent.
        bytes: u32,
    },
    /// The file of [`ToGuest::ReadFile`] cannot be read; the agent goes on.
    FileRefused {
        /// A sentence: what, where, why.
        why: String,
    },
    /// The answer to [`ToGuest::FindFiles`]; none for a directory that cannot be listed.
    FilesFound {
        /// Their paths below the directory, sorted, without those that are not UTF-8: at most [`MAX_FOUND`].
        paths: Vec<String>,
    },
    /// The answer to [`ToGuest::Reads`].
    Reads(Reads),
    /// The agent failed to handle a request; it ends after this.
    Failed {
        /// A sentence: what, where, why.
        why: String,
    },
    /// A process has connected to a port of [`ToGuest::Relay`].
    Connected {
        /// A number that no open connection has.
        connection: u32,
        /// The port.
        port: u16,
    },
    /// Data from the guest's end of a relayed connection.
    ForwardData(ForwardData),
}
