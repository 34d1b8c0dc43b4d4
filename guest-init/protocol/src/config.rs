//! The configuration of a guest: what the agent mounts, writes and sets before the first step.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Limit, MemoryCounter};

/// What the agent needs in a microVM before it has a channel; the initramfs has it at [`super::BOOT_FILE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFile {
    /// Kernel modules (paths in the initramfs, uncompressed), in loading order, without which there is no channel.
    pub modules: Vec<String>,
}

/// Everything the agent does between `Prepare` and `Ready`, in the order of the fields.
///
/// In a microVM paths of `modules` and `mounts` are those of the initramfs until [`Mount::Root`] makes a directory the
/// root; all that follows is seen from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestConfig {
    /// The wall clock, in nanoseconds since the epoch; `None` leaves the clock alone (containers, sandboxes).
    pub clock_ns: Option<u64>,
    /// Bytes that are mixed into the kernel's random pool and credited; empty leaves it alone.
    #[serde(with = "crate::bytes")]
    pub entropy: Vec<u8>,
    /// Kernel modules to load (paths in the initramfs, uncompressed), in this order; a module that is loaded already is skipped.
    pub modules: Vec<String>,
    /// Whether to look for devices that the machine has gained since its kernel started (a guest restored from a template).
    pub late_devices: bool,
    /// The mounts, in this order.
    pub mounts: Vec<Mount>,
    /// `sethostname`; `None` leaves it alone.
    pub hostname: Option<String>,
    /// A static configuration of the first network card; `None`: only loopback is brought up.
    pub network: Option<Network>,
    /// Groups for `/etc/group`.
    pub groups: Vec<Group>,
    /// Users for `/etc/passwd`; those of the root with the same names are replaced.
    pub identities: Vec<Identity>,
    /// Files to write.
    pub files: Vec<TextFile>,
    /// The capabilities that steps may have (numbers of `linux/capability.h`): the bounding set; `None` leaves it alone.
    pub capabilities: Option<Vec<u8>>,
    /// A directory: the files that steps read below it are counted, if they exist before the first step ([`crate::Reads`]).
    pub track_reads: Option<String>,
    /// The counter of memory events; `None` where the host reads it.
    pub memory: Option<MemoryCounter>,
    /// Directories that steps write to: those with a full file system are reported when a step has failed.
    pub written: Vec<String>,
    /// Resource limits of each process of a step. Where the agent may not raise a limit, the one that it was started with stays.
    pub limits: Vec<Limit>,
    /// The user namespace of the agent and of steps, entered when all of the above is done; `None`: the one that the agent was
    /// started in.
    pub user_namespace: Option<UserNamespace>,
    /// Filters of system calls for the agent and steps from then on; each of them must allow a call.
    pub seccomp: Vec<SeccompFilter>,
    /// Actions after the end of all processes and before the agent's own, however the session ended.
    pub on_exit: Vec<OnExit>,
}

/// A user namespace below the one that the agent was started in, with its own mount namespace. Capabilities in it have no effect
/// outside, and the agent's mounts cannot be unmounted in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// The id outside of id 0 inside, and so on for all ids; with 0 no id changes. Owners of this configuration are ids inside, and
    /// the files that the agent makes belong to root inside.
    pub first: u32,
    /// Its network namespace.
    pub network: NetworkNamespace,
}

/// The network namespace of a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkNamespace {
    /// The one that the agent was started in, in which a step has no capability.
    Kept,
    /// A new one, with loopback only.
    New,
}

/// A program of seccomp(2), in the machine's byte order: `struct sock_filter` after `struct sock_filter`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompFilter {
    /// The program.
    #[serde(with = "crate::bytes")]
    pub program: Vec<u8>,
}

/// A range of ids: the `count` ids from `from` on become those from `to` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first one.
    pub from: u32,
    /// Its replacement.
    pub to: u32,
    /// How many.
    pub count: u32,
}

/// An action at the end, when all processes have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExit {
    /// Change the owner of everything below `path` to (uid, gid), as [`Mount::Chown`] does, but without set-id bits: a build must
    /// not make a set-id program of that user.
    Chown {
        /// Where.
        path: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// Whether a mount may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// Which files of a tree get a new owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChownScope {
    /// All of them.
    Everything,
    /// Directories only: for root, which may read and write every file. In an overlay a new owner of a file would copy it up.
    Directories,
}

/// One thing to mount or make. Targets are made (0755, with parents) where they are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mount {
    /// `mkdir -p`, then mode and owner of the last component.
    Directory {
        /// Where.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A directory, if nothing is there: the parents that are missing are made like it. What is there stays as it is.
    EnsureDir {
        /// Where.
        path: String,
        /// Permission bits of what is made.
        mode: u32,
        /// Owner of what is made.
        uid: u32,
        /// Group of what is made.
        gid: u32,
    },
    /// `mount -t fstype -o options source target`.
    Filesystem {
        /// What holds it.
        source: MountSource,
        /// Where.
        target: String,
        /// `erofs`, `ext4`, `9p`, `virtiofs`, `tmpfs`, `proc`, ….
        fstype: String,
        /// The file system's own options, comma-separated, as `mount(2)` takes them in `data`.
        options: String,
        /// Read-only or not. A share is mounted with `nosuid` and `nodev`.
        access: Access,
    },
    /// An overlay. `upper` and `work` are made if they are missing.
    Overlay {
        /// The lower directories, topmost first.
        lower: Vec<String>,
        /// Where writes go: a directory on a local file system.
        upper: String,
        /// The work directory, on the file system of `upper`.
        work: String,
        /// Where.
        target: String,
        /// More options, comma-separated (`metacopy=on`, `userxattr`, …).
        options: String,
        /// `nodev`: no device file below it can be opened.
        nodev: bool,
        /// Give the merged root to this (uid, gid), mode 0755.
        owner: (u32, u32),
    },
    /// Mount `path` over itself with other owners (an idmapped mount, mount_setattr(2)); an id that no range has becomes
    /// the overflow id.
    Idmap {
        /// Where.
        path: String,
        /// Users.
        uids: Vec<IdRange>,
        /// Groups.
        gids: Vec<IdRange>,
    },
    /// A bind mount of a directory or file.
    Bind {
        /// What.
        source: String,
        /// Where.
        target: String,
        /// Read-only or not.
        access: Access,
    },
    /// A directory that hides, as the topmost lower one of an overlay or as its upper one: a whiteout at each of these relative
    /// paths.
    Whiteouts {
        /// The directory; made if it is missing.
        directory: String,
        /// The tree in which it hides: directories on the way get their owner, mode and times from there.
        like: String,
        /// What is hidden, now or when it comes; a directory with all below it. Where `like` has not the directory that it
        /// lies in, it is passed over.
        paths: Vec<String>,
    },
    /// An empty directory that cannot be written, over the directory at `path`, if there is one.
    MaskPath {
        /// Where.
        path: String,
    },
    /// A symbolic link at `path`, if nothing is there.
    Symlink {
        /// Where.
        path: String,
        /// To what, verbatim.
        target: String,
    },
    /// Give everything below `path` that does not belong to (uid, gid) to it; symbolic links themselves too, no other
    /// file system below it.
    Chown {
        /// Where.
        path: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// What of it.
        scope: ChownScope,
    },
    /// Mount /proc, /sys, /dev (with pts, shm, mqueue, fd links), /run and /tmp below `path`, then make `path` the
    /// root (move and chroot, as `switch_root` does); the initramfs is emptied.
    Root {
        /// The directory that becomes `/`.
        path: String,
    },
    /// In a sandbox: take /proc, /sys and /dev along from the present root, add what they lack, /run and /tmp, then make
    /// `path` the root (`pivot_root`); what was there before cannot be seen any more.
    Pivot {
        /// The directory that becomes `/`.
        path: String,
    },
    /// A change that the build file asks for.
    Path(PathChange),
    /// Nothing is mounted: another program has mounted an overlay on `target`, whose upper directory is at `path`, for
    /// [`super::ToGuest::ExportUpper`].
    Upper {
        /// Where the overlay is mounted.
        target: String,
        /// Its upper directory.
        path: String,
    },
}

/// What holds a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// The virtio disk with this serial number.
    Disk(String),
    /// The share with this tag (9p, virtiofs).
    Share(String),
    /// The file at this path.
    Image(String),
    /// Nothing: a file system without one (`tmpfs`, `proc`) is mounted under this name.
    Name(String),
}

impl fmt::Display for MountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(serial) => write!(f, "serial:{serial}"),
            Self::Share(tag) => f.write_str(tag),
            Self::Image(path) => f.write_str(path),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A static IPv4 configuration of the first network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its address.
    pub address: [u8; 4],
    /// The length of the network's prefix.
    pub prefix: u8,
    /// The default route's next hop.
    pub gateway: [u8; 4],
    /// Addresses that must not be reached: a prohibit route each.
    pub prohibited: Vec<[u8; 4]>,
    /// Bytes; 0 leaves the driver's own.
    pub mtu: u32,
}

/// A change to the root's files. Paths on another file system (the workspace, the cache, /proc, /sys, /dev) are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathChange {
    /// The absolute path. Missing parents are made (0755); symbolic links among them are followed.
    pub path: String,
    /// The kind of change.
    pub kind: PathKind,
    /// Permission bits, set-id and sticky among them; `None` leaves them as they are.
    pub mode: Option<u32>,
    /// Owner and group. `None` leaves them as they are, and what is made is root's.
    pub owner: Option<(u32, u32)>,
}

/// What a [`PathChange`] makes before it sets mode and owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// A directory.
    Directory {
        /// Whether everything below it gets the same mode and owner.
        recursive: bool,
    },
    /// An empty file.
    EmptyFile,
    /// A hard link to a file; an existing file of its name is replaced.
    HardLink {
        /// The file: an absolute path.
        source: String,
    },
    /// A symbolic link; an existing link or file is replaced. Its mode is not changed.
    Symlink {
        /// To what, verbatim.
        target: String,
    },
    /// Nothing: the path must exist.
    Permissions {
        /// Whether everything below it gets the same mode and owner.
        recursive: bool,
    },
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number.
    pub gid: u32,
    /// Login names.
    pub members: Vec<String>,
    /// What is done where the root has such a group.
    pub if_exists: IfGroupExists,
}

/// What is done where the root has such a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IfGroupExists {
    /// The group of this name is replaced.
    Replace,
    /// A group of this name or number is kept.
    Keep,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Login name.
    pub name: String,
    /// Number.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A small file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFile {
    /// Absolute; parents are made. A symbolic link of this name is replaced and not followed.
    pub path: String,
    /// The content.
    pub text: String,
    /// What is done where the file exists.
    pub if_exists: IfExists,
    /// Permission bits.
    pub mode: u32,
}

/// What is done where a file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IfExists {
    /// The new content replaces the old one.
    Replace,
    /// The new content is appended.
    Append,
}
