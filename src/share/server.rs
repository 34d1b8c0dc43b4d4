//! A running server of one directory, and what the programs that can be one have in common.
//!
//! Before it: a [`Daemon`]. After it: the runner, which passes the connection to QEMU and watches the server.
//!
//! kiln binds the socket before the daemon starts, connects to it, and removes its path: there is no wait for a path to appear, and
//! QEMU inherits a connected descriptor. When the connection closes, the daemon exits.

use std::{
    ffi::OsString,
    fmt, fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Directory, Owner, Sandbox, sandbox::sandbox};
use crate::{
    exit::Failure,
    process::{Child, Command, ExitStatus, IdMap, Spawner, Stdio, Tail},
};

/// The daemon's listening socket; the standard streams come before it.
pub(super) const LISTENER: i32 = 3;

/// The lease of the directory, which the daemon only holds.
pub(super) const LEASE: i32 = 4;

/// How many of the daemon's last lines are kept.
const LAST_LINES: usize = 20;

/// A program that serves one directory by vhost-user to the front end that connects to its descriptor [`LISTENER`].
pub trait Daemon: fmt::Debug {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// Program and arguments.
    ///
    /// # Errors
    /// When it cannot serve the directory.
    fn argv(&self, directory: &Directory, owner: Owner, sandbox: Sandbox) -> Result<Vec<OsString>, Failure>;

    /// What is executed, if it is not what the command line names.
    fn executable(&self) -> Option<&Path> {
        None
    }

    /// The user namespace to start it in, besides those that it makes itself.
    ///
    /// # Errors
    /// When the ids of this host cannot be read.
    fn ids(&self, directory: &Directory, owner: Owner) -> Result<Option<IdMap>>;
}

/// A running daemon. It is killed on drop.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    stderr: Tail,
}

/// The exit of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonExit {
    /// The daemon's name.
    pub name: &'static str,
    /// Its exit status.
    pub status: ExitStatus,
    /// Its last lines of stderr.
    pub last_lines: Vec<String>,
}

impl fmt::Display for DaemonExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended ({})", self.name, self.status)?;
        self.last_lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Server {
    /// Starts a daemon, which holds `lease` until it exits. `run` is a directory that only this user can enter. Returns the daemon,
    /// and the descriptor for QEMU's chardev.
    ///
    /// # Errors
    /// When it cannot be confined or started, or cannot serve this directory.
    pub fn start(
        spawner: &Spawner,
        run: &Path,
        daemon: &dyn Daemon,
        directory: &Directory,
        owner: Owner,
        lease: Option<OwnedFd>,
    ) -> Result<(Self, OwnedFd)> {
        let mut argv = daemon.argv(directory, owner, sandbox()?)?.into_iter();
        let named = argv.next().context("a daemon has a command line")?;
        let program = daemon.executable().map_or(named, Into::into);
        let (listener, connected) = connection(run)?;
        // It serves a hostile guest, so it does not get tokens in the user's environment.
        let mut command =
            Command::new(program).args(argv).clear_env().stderr(Stdio::Piped).fd(listener, LISTENER);
        // The lease is held until the daemon exits.
        if let Some(lease) = lease {
            command = command.fd(lease, LEASE);
        }
        if let Some(ids) = daemon.ids(directory, owner)? {
            command = command.user_namespace(ids);
        }
        let mut child = spawner.spawn(command)?;
        let stderr = child.take_stderr().expect("stderr was piped above");
        let stderr = Tail::follow(LAST_LINES, stderr, None);
        Ok((Self { name: daemon.name(), child, stderr }, connected))
    }

    /// The daemon's name in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its exit, which is an error while the guest runs. May be cancelled and called again.
    pub async fn died(&mut self) -> Result<DaemonExit> {
        let status = self.child.wait().await?;
        Ok(DaemonExit { name: self.name, status, last_lines: self.stderr.last_lines().await? })
    }

    /// Kills it, without waiting for its exit.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Kills it unless it has exited, and waits until neither it nor its child, which serves, is left.
    pub async fn gone(&mut self) {
        self.child.gone().await;
    }

    /// Stops it after the guest has ended: it exits by itself, or is killed after `grace`.
    pub async fn stop(mut self, grace: Duration) -> Result<DaemonExit> {
        self.child.stop(grace).await?;
        self.died().await
    }
}

/// A listening socket and a pending connection to it. Its path is short even if that of `run` is long, since a path in AF_UNIX has
/// at most 107 bytes. The path is removed before this returns.
fn connection(run: &Path) -> Result<(OwnedFd, OwnedFd)> {
    let dir = fs::File::open(run).with_context(|| format!("open {}", run.display()))?;
    let path = format!("/proc/self/fd/{}/virtiofs.sock", dir.as_raw_fd());
    let listener =
        UnixListener::bind(&path).with_context(|| format!("bind a socket in {}", run.display()))?;
    let connected =
        UnixStream::connect(&path).with_context(|| format!("connect to a socket in {}", run.display()));
    fs::remove_file(&path).with_context(|| format!("unlink a socket in {}", run.display()))?;
    Ok((listener.into(), connected?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_leaves_no_name_however_long_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(200));
        fs::create_dir(&long).unwrap();
        let (listener, connected) = connection(&long).unwrap();
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
        let (mut accepted, _) = UnixListener::from(listener).accept().unwrap();
        std::io::Write::write_all(&mut UnixStream::from(connected), b"x").unwrap();
        let mut byte = [0];
        std::io::Read::read_exact(&mut accepted, &mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}
