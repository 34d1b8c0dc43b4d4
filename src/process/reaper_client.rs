//! kiln's end of the socket to the reaper, for messages on what to kill, remove, hold and restore.
//!
//! Before it: [`super::Spawner`]. After it: [`super::reaper`]. If the reaper was killed, kiln warns, and the build goes on.

use std::{
    fs,
    io::{IoSlice, Read},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        socket::{
            AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, send, sendmsg, setsockopt,
            socketpair, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
    unistd::{Pid, getpid},
};
use tracing::{debug, warn};

use super::pidfd;

/// The first argument by which kiln's binary becomes the reaper.
pub const REAPER_ARGUMENT: &str = "__reaper";

/// The variable in the environment of all processes of a run; its value identifies the run.
pub const MARKER_VARIABLE: &str = "KILN_RUN_ID";

/// How long a message may wait for a reaper that does not read, and kiln for its answer. It works quickly, so it is stopped or
/// swapped out then.
const SEND_LIMIT_SECONDS: i64 = 2;

/// How long children wait between fork and exec after that.
const DEAF_SEND_LIMIT_MS: i64 = 1;

/// How long kiln waits for the reaper's end, in milliseconds. It needs some milliseconds; if it waits for a process that the kernel
/// cannot kill yet, it goes on without kiln.
const END_LIMIT_MS: u16 = 5000;

/// The first byte of a message; what follows is a process id (4 bytes, of this machine), a path, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum MessageKind {
    /// A child of kiln with this session.
    Session = b'+',
    /// That child has been reaped.
    Reaped = b'-',
    /// This path is to be removed when kiln ends.
    Remove = b'r',
    /// That path is removed, or is to be kept.
    Keep = b'k',
    /// The present modes of the terminal that comes with this are to be restored; the reaper answers when it has saved them.
    Terminal = b't',
    /// kiln has restored the terminal itself.
    Released = b'f',
    /// The descriptor that comes with this stays open until all of this run has ended.
    Hold = b'h',
}

impl MessageKind {
    pub(super) fn of(byte: u8) -> Option<Self> {
        let paths_and_pids = [Self::Session, Self::Reaped, Self::Remove, Self::Keep];
        let descriptors = [Self::Terminal, Self::Released, Self::Hold];
        paths_and_pids.into_iter().chain(descriptors).find(|&kind| kind as u8 == byte)
    }
}

#[derive(Debug)]
pub(super) struct ReaperClient {
    // Closed first, whereupon the reaper does its work and ends.
    socket: OwnedFd,
    reaper: Child,
    marker: String,
    /// It has not read for so long that messages are sent without waiting.
    is_deaf: AtomicBool,
    /// kiln's program, which makes jails, too.
    kiln: PathBuf,
}

impl ReaperClient {
    /// Starts `kiln` as the reaper.
    pub(super) fn start(kiln: &Path) -> Result<Self> {
        // Packets: a message is read as a whole, and an end-of-file is distinct from a message.
        let (socket, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(SEND_LIMIT_SECONDS))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(SEND_LIMIT_SECONDS))?;
        let marker = marker()?;
        let mut command = Command::new(kiln);
        command.args([REAPER_ARGUMENT, &marker]).env_clear().current_dir("/").stdin(Stdio::from(theirs));
        // It must neither hold kiln's output open after kiln's end, nor get the signals of kiln's process group.
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let reaper = command.spawn()?;
        Ok(Self { socket, reaper, marker, kiln: kiln.into(), is_deaf: AtomicBool::new(false) })
    }

    pub(super) fn kiln(&self) -> &Path {
        &self.kiln
    }

    pub(super) fn marker(&self) -> &str {
        &self.marker
    }

    pub(super) fn forget(&self, pid: Pid) {
        self.send(MessageKind::Reaped, &pid.as_raw().to_ne_bytes());
    }

    pub(super) fn remove_at_end(&self, path: &Path) {
        self.send(MessageKind::Remove, path.as_os_str().as_bytes());
    }

    pub(super) fn keep(&self, path: &Path) {
        self.send(MessageKind::Keep, path.as_os_str().as_bytes());
    }

    /// Has the reaper keep a copy of `fd`.
    pub(super) fn hold(&self, fd: BorrowedFd<'_>) {
        if let Err(error) = self.send_descriptor(MessageKind::Hold, fd) {
            warn!(%error, "the reaper does not read messages: if kiln is killed, a lock may be released too early");
        }
    }

    /// Has the reaper save the modes of a terminal that are about to change.
    pub(super) fn restore_at_end(&self, terminal: BorrowedFd<'_>) {
        let sent = self.send_descriptor(MessageKind::Terminal, terminal);
        match sent.and_then(|_| recv(self.socket.as_raw_fd(), &mut [0], MsgFlags::empty())) {
            Ok(1..) => {}
            Ok(0) => warn!("there is no reaper: if kiln is killed, the terminal stays in raw mode"),
            Err(error) => warn!(%error, "if kiln is killed, the terminal stays in raw mode"),
        }
    }

    /// Sends a descriptor.
    fn send_descriptor(&self, kind: MessageKind, fd: BorrowedFd<'_>) -> nix::Result<usize> {
        let (kind, descriptors) = ([kind as u8], [fd.as_raw_fd()]);
        let control = [ControlMessage::ScmRights(&descriptors)];
        let socket = self.socket.as_raw_fd();
        sendmsg::<()>(socket, &[IoSlice::new(&kind)], &control, MsgFlags::MSG_NOSIGNAL, None)
    }

    /// The terminal's modes are restored.
    pub(super) fn release_terminal(&self) {
        self.send(MessageKind::Released, &[]);
    }

    /// Lets the reaper do its work, and waits for its end.
    pub(super) fn finish(self) -> Result<()> {
        drop(self.socket);
        let mut reaper = self.reaper;
        continue_reaper(&reaper);
        let pidfd = pidfd::open(reaper.id().cast_signed()).context("watch the reaper")?;
        let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        let ended = loop {
            match poll(&mut ended, PollTimeout::from(END_LIMIT_MS)) {
                // Another child has ended meanwhile (SIGCHLD).
                Err(Errno::EINTR) => {}
                polled => break polled.context("wait for the reaper")?,
            }
        };
        match ended {
            0 => warn!("the reaper has not ended after {END_LIMIT_MS} ms: it goes on removing files"),
            _ => drop(reaper.wait().context("reap the reaper")?),
        }
        Ok(())
    }

    fn send(&self, kind: MessageKind, rest: &[u8]) {
        let message: Vec<u8> = [&[kind as u8], rest].concat();
        let send_with = |flags| send(self.socket.as_raw_fd(), &message, flags | MsgFlags::MSG_NOSIGNAL);
        if self.is_deaf.load(Ordering::Relaxed) {
            // kiln has warned; the reaper gets the messages that fit the socket's buffer when it goes on.
            let sent = send_with(MsgFlags::MSG_DONTWAIT);
            debug!(?sent, ?kind, "a message to a reaper that does not read");
            return;
        }
        let sent = send_with(MsgFlags::empty()).or_else(|error| match error {
            Errno::EAGAIN => {
                continue_reaper(&self.reaper);
                send_with(MsgFlags::empty())
            }
            error => Err(error),
        });
        if let Err(error) = sent {
            warn!(%error, ?kind, "the reaper does not read messages: if kiln is killed, files or processes may be left");
            self.stop_waiting();
        }
    }

    /// Also for children between fork and exec, which have the same socket.
    fn stop_waiting(&self) {
        self.is_deaf.store(true, Ordering::Relaxed);
        let limit = TimeVal::milliseconds(DEAF_SEND_LIMIT_MS);
        if let Err(error) = setsockopt(&self.socket, sockopt::SendTimeout, &limit) {
            warn!(%error, "each message to the reaper waits for {SEND_LIMIT_SECONDS} s");
        }
    }
}

/// Continues a stopped reaper. Its pid is not reused before it is waited for.
fn continue_reaper(reaper: &Child) {
    // Best effort: a reaper that cannot be signalled has ended.
    let _ = kill(Pid::from_raw(reaper.id().cast_signed()), Signal::SIGCONT);
}

impl AsFd for ReaperClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Announces the calling process, which leads a session, to the reaper. For the time between fork and exec.
pub(super) fn register_self(socket: RawFd) {
    let mut message = [MessageKind::Session as u8; 5];
    message[1..].copy_from_slice(&getpid().as_raw().to_ne_bytes());
    // Best effort: without a reaper the child lives, as kiln does; kiln itself warns.
    let _ = send(socket, &message, MsgFlags::MSG_NOSIGNAL);
}

/// A value that no other run has.
fn marker() -> Result<String> {
    let mut random = [0_u8; 8];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .context("read /dev/urandom")?;
    Ok(format!("{}-{:016x}", getpid(), u64::from_ne_bytes(random)))
}
