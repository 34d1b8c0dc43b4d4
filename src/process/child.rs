//! A running child: its end, its streams, and its signals.
//!
//! Before it: [`super::Spawner::spawn`]. The leader's pid is also that of its group and session. It is not reaped before the group has
//! been killed, so that the kernel cannot have reused the pid.

use std::{
    fmt,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::unix::AsyncFd,
    process::{ChildStderr, ChildStdin, ChildStdout},
    time::timeout,
};
use tracing::{debug, warn};

use super::{pidfd, proc_tree, reaper_client::ReaperClient};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
}

impl ExitStatus {
    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "{signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// A running child. When dropped, it and its group are killed.
#[derive(Debug)]
pub struct Child {
    inner: tokio::process::Child,
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    reaper: Arc<ReaperClient>,
    ended: Option<ExitStatus>,
    /// Its descendants at the time of the kill, which may outlive it for a moment.
    below: Vec<OwnedFd>,
}

impl Child {
    pub(super) fn new(inner: tokio::process::Child, reaper: Arc<ReaperClient>) -> Result<Self> {
        let id = inner.id().context("the child was not waited for yet")?;
        let pid = Pid::from_raw(i32::try_from(id).context("process ids are below 2^22")?);
        let pidfd = pidfd::open(pid.as_raw()).context("open the descriptor of a process")?;
        let pidfd = pidfd::watch(pidfd).context("watch a process")?;
        Ok(Self { inner, pid, pidfd, reaper, ended: None, below: Vec::new() })
    }

    /// Its process id, which is that of its group and session, too.
    pub fn id(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// The writing end of its standard input, once, if that is a pipe.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.inner.stdin.take()
    }

    /// The reading end of its standard output, once, if that is a pipe.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// The reading end of its standard error, once, if that is a pipe.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.inner.stderr.take()
    }

    /// Waits for its end, and kills the rest of its group. May be cancelled and called again.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        self.pidfd.readable().await.context("wait for a process")?.retain_ready();
        // It is a zombie now, and its pid is not reused.
        self.signal(Signal::SIGKILL);
        self.reaper.forget(self.pid);
        let status = self.inner.wait().await.context("reap a process")?;
        let status = match (status.code(), status.signal()) {
            (Some(code), _) => ExitStatus::Code(code),
            (None, Some(signal)) => ExitStatus::Signal(signal),
            (None, None) => bail!("process {} ended with the status {status:?}", self.pid),
        };
        debug!(pid = %self.pid, %status, "ended");
        self.ended = Some(status);
        Ok(status)
    }

    /// Ends it: SIGTERM to its group, and SIGKILL after `grace`.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus> {
        if self.ended.is_none() {
            self.signal(Signal::SIGTERM);
        }
        match timeout(grace, self.wait()).await {
            Ok(status) => status,
            Err(_) => {
                warn!(pid = %self.pid, ?grace, "killed: it did not end by itself");
                self.kill();
                self.wait().await
            }
        }
    }

    /// Kills it and its group, without waiting for its end.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            self.below.extend(descendants(self.pid.as_raw()));
            self.signal(Signal::SIGKILL);
        }
    }

    /// Kills it unless it has ended, and waits for its end and that of its children and grandchildren. The first process of a pid
    /// namespace ends after all others in it (pid_namespaces(7)).
    pub async fn gone(&mut self) {
        self.kill();
        if let Err(error) = self.wait().await {
            warn!(pid = %self.pid, error = %format!("{error:#}"), "cannot be waited for");
        }
        for pidfd in std::mem::take(&mut self.below) {
            // Best effort: it may have ended by itself.
            let _ = pidfd::kill(&pidfd);
            match pidfd::watch(pidfd) {
                Ok(pidfd) => drop(pidfd.readable().await),
                Err(error) => warn!(pid = %self.pid, %error, "a descendant cannot be waited for"),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        match killpg(self.pid, signal) {
            // No process is left, or only a zombie.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => warn!(pid = %self.pid, %signal, %error, "signal not delivered"),
        }
    }
}

/// The children and grandchildren of a process: a pid namespace is no deeper below a child of kiln.
fn descendants(pid: i32) -> Vec<OwnedFd> {
    let children = |pid| proc_tree::children(pid).into_iter().filter_map(move |child| open_child(child, pid));
    let mut found = Vec::new();
    for (child, pidfd) in children(pid) {
        found.push(pidfd);
        found.extend(children(child).map(|(_, pidfd)| pidfd));
    }
    found
}

/// Opens a child of this parent, and no other process with a reused pid.
fn open_child(pid: i32, parent: i32) -> Option<(i32, OwnedFd)> {
    let pidfd = pidfd::open(pid).ok()?;
    let is_child = proc_tree::Process::read(pid).is_some_and(|process| process.parent == parent);
    is_child.then_some((pid, pidfd))
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.signal(Signal::SIGKILL);
            self.reaper.forget(self.pid);
        }
    }
}
