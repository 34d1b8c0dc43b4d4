//! The reaper: a small process at the other end of a socket from kiln. When that closes, it kills the remaining processes of the run,
//! removes its paths, and restores the terminal's modes.
//!
//! `PR_SET_PDEATHSIG` kills kiln's children, but not their descendants: the sandboxed half of a virtiofsd, the packages that
//! mmdebstrap configures. The reaper finds those by their session, which each child announces itself before it execs, so that none
//! is lost whenever kiln dies; by descent; and by a variable in their environment. It is kiln's own binary, in its own process group,
//! with all signals blocked.

use std::{
    collections::HashSet,
    ffi::OsStr,
    io::{IoSliceMut, Stdin},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, sigprocmask},
        socket::{MsgFlags, send},
    },
    unistd::setsid,
};
use rustix::{
    cmsg_space, io,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};

use super::{
    pidfd,
    proc_tree::{Process, ProcessTable},
    reaper_client::{MARKER_VARIABLE, MessageKind},
    removal::remove,
    terminal::SavedModes,
};

/// How long killed processes may take to end: a process that waits for a disk ends only after that.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// How many rounds of finding and killing there are: each round kills the processes that fork.
const ROUNDS: usize = 200;

/// How long kiln may take, in milliseconds, to report that it has reaped a child. After that the reaper looks itself, at all
/// processes of the machine, whether its session has members.
const REAPING_MS: u8 = 100;

/// The longest message: a path and its kind.
const MESSAGE_BYTES: usize = 1 + nix::libc::PATH_MAX as usize;

/// What `kiln __reaper MARKER` does: its standard input is the socket.
pub fn reaper_main(marker: &OsStr) -> ExitCode {
    match reap(marker.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn reap(marker: &[u8]) -> Result<()> {
    // Best effort: it was started in its own process group, which is nearly as good.
    let _ = setsid();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None).context("block signals")?;
    let marker = [MARKER_VARIABLE.as_bytes(), b"=", marker].concat();
    let mut leftovers = Leftovers::default();
    leftovers.listen()?;
    if let Some(terminal) = leftovers.terminal.take() {
        terminal.restore();
    }
    for _ in 0..ROUNDS {
        let victims = ProcessTable::read()?.victims(&leftovers.leaders(), &marker);
        if victims.is_empty() {
            break;
        }
        end(&victims);
    }
    leftovers.remove_paths();
    Ok(())
}

/// What would be left if kiln ended now.
#[derive(Debug, Default)]
struct Leftovers {
    sessions: Vec<Session>,
    paths: Vec<PathBuf>,
    /// The modes of a terminal that kiln has in raw mode.
    terminal: Option<SavedModes>,
    /// Locks of the run, released when the reaper ends.
    held: Vec<OwnedFd>,
}

/// One child of kiln. The kernel does not reuse its id while its leader or any member lives.
#[derive(Debug)]
struct Session {
    id: i32,
    pidfd: OwnedFd,
    leader: LeaderState,
}

/// The state of a session's leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaderState {
    /// It lives.
    Lives,
    /// It has ended, and kiln may be about to report that.
    Ended,
    /// It has ended, and its session had other members after that.
    Outlived,
}

impl Leftovers {
    fn leaders(&self) -> HashSet<i32> {
        self.sessions.iter().map(|session| session.id).collect()
    }

    /// Takes messages until kiln ends.
    fn listen(&mut self) -> Result<()> {
        let stdin = std::io::stdin();
        let mut message = vec![0; MESSAGE_BYTES];
        loop {
            if self.wait(&stdin)? {
                match receive(&stdin, &mut message) {
                    Ok((0, _)) | Err(io::Errno::CONNRESET) => return Ok(()),
                    Ok((length, descriptor)) => {
                        self.take(&message[..length], descriptor);
                        if message[0] == MessageKind::Terminal as u8 {
                            // Best effort: kiln may have been killed meanwhile.
                            let _ = send(stdin.as_raw_fd(), &[0], MsgFlags::MSG_NOSIGNAL);
                        }
                    }
                    Err(io::Errno::INTR) => {}
                    Err(error) => return Err(error).context("read from kiln"),
                }
            }
        }
    }

    /// Waits for a message or the end of a leader; whether there is a message.
    fn wait(&mut self, socket: &impl AsFd) -> Result<bool> {
        let living = self.sessions.iter().filter(|session| session.leader == LeaderState::Lives);
        let fds = std::iter::once(socket.as_fd()).chain(living.map(|session| session.pidfd.as_fd()));
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let doubtful = self.sessions.iter().any(|session| session.leader == LeaderState::Ended);
        let limit = if doubtful { PollTimeout::from(REAPING_MS) } else { PollTimeout::NONE };
        let count = match poll(&mut fds, limit) {
            Err(Errno::EINTR) => return Ok(false),
            count => count.context("wait for kiln")?,
        };
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let message = ready.next().expect("the socket is the first");
        let ended: Vec<bool> = ready.collect();
        let living = self.sessions.iter_mut().filter(|session| session.leader == LeaderState::Lives);
        for (session, _) in living.zip(ended).filter(|(_, ended)| *ended) {
            session.leader = LeaderState::Ended;
        }
        if count == 0 {
            self.drop_empty_sessions()?;
        }
        Ok(message)
    }

    /// Forgets sessions without members: kiln does not report a child that could not exec, and the kernel may reuse its pid.
    fn drop_empty_sessions(&mut self) -> Result<()> {
        let table = ProcessTable::read()?;
        self.sessions.retain(|session| session.leader == LeaderState::Lives || table.has_session(session.id));
        for session in &mut self.sessions {
            if session.leader == LeaderState::Ended {
                session.leader = LeaderState::Outlived;
            }
        }
        Ok(())
    }

    fn take(&mut self, message: &[u8], descriptor: Option<OwnedFd>) {
        let Some((&kind, rest)) = message.split_first() else { return };
        let pid = || rest.try_into().map(i32::from_ne_bytes).ok();
        let path = || PathBuf::from(OsStr::from_bytes(rest));
        match MessageKind::of(kind) {
            Some(MessageKind::Session) => self.sessions.extend(pid().and_then(Session::of)),
            Some(MessageKind::Reaped) => self.sessions.retain(|session| Some(session.id) != pid()),
            Some(MessageKind::Remove) => self.paths.push(path()),
            Some(MessageKind::Keep) => self.paths.retain(|kept| *kept != path()),
            Some(MessageKind::Terminal) => self.terminal = descriptor.and_then(SavedModes::of),
            Some(MessageKind::Released) => self.terminal = None,
            Some(MessageKind::Hold) => self.held.extend(descriptor),
            None => {}
        }
    }

    fn remove_paths(self) {
        for path in self.paths {
            // Best effort: the next start of kiln removes the rest.
            let _ = remove(&path);
        }
    }
}

/// Receives a message: its length, and the descriptor that came with it.
fn receive(socket: &Stdin, message: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(message)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = control.drain().filter_map(|sent| match sent {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((received.bytes, descriptors.flatten().last()))
}

impl Session {
    /// `None` when it has ended already.
    fn of(leader: i32) -> Option<Self> {
        pidfd::open(leader).ok().map(|pidfd| Self { id: leader, pidfd, leader: LeaderState::Lives })
    }
}

/// Kills, and waits until they are dead.
fn end(victims: &[Process]) {
    let dying: Vec<OwnedFd> = victims.iter().filter_map(kill).collect();
    let deadline = Instant::now() + DEATH_LIMIT;
    for pidfd in &dying {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        // Best effort: the next round finds a process that does not end in time.
        let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], left);
    }
}

/// Kills the process that was found, and no other with a reused pid.
fn kill(victim: &Process) -> Option<OwnedFd> {
    let pidfd = pidfd::open(victim.pid).ok()?;
    let same = Process::read(victim.pid).is_some_and(|now| now.start == victim.start);
    (same && pidfd::kill(&pidfd).is_ok()).then_some(pidfd)
}
