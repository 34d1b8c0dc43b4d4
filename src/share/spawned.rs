//! A virtiofsd for one directory.
//!
//! kiln binds the socket before the daemon starts, connects to it, and removes its path: there is no wait for a path to appear, and
//! QEMU inherits a connected descriptor. When the connection closes, the daemon exits.

use std::{
    fmt, fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use super::{
    Directory, Owner, Sandbox,
    arguments::{LEASE, LISTENER, arguments},
    virtiofsd::{DaemonKind, Virtiofsd},
};
use crate::{
    exit::Failure,
    host::allow_namespaces,
    process::{Child, Command, ExitStatus, IdMap, Spawner, Stdio, Tail, user_namespaces_usable},
};

/// How many of the daemon's last lines are kept.
const LAST_LINES: usize = 20;

/// CAP_SYS_ADMIN of capabilities(7): without it not even root can make the namespaces of the sandbox.
const CAP_SYS_ADMIN: u32 = 21;

/// How the daemon can be confined on this host. It is an error if it cannot be, since it serves a guest that may be hostile.
pub fn sandbox() -> Result<Sandbox> {
    if geteuid().is_root() {
        let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        let namespace = has_capability(&status, CAP_SYS_ADMIN) && root_is_mounted(&mounts);
        return Ok(if namespace { Sandbox::Namespace } else { Sandbox::Chroot });
    }
    user_namespaces_usable().map(|()| Sandbox::Namespace).map_err(|why| {
        let allow = allow_namespaces(Path::new("/proc/sys"));
        let way_out = format!("Leave virtiofs off, or allow user namespaces: {allow}");
        Failure::host(format!("virtiofsd cannot be confined: {why}"), way_out).into()
    })
}

fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set >> capability & 1 == 1)
}

/// Whether `/` is a mount point in a mountinfo (proc_pid_mountinfo(5)). In a chroot(1) it is not: its mounts cannot be made
/// private, and each daemon fails.
fn root_is_mounted(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

/// A running daemon. It is killed on drop.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stderr: Tail,
}

/// The exit of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonExit {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its last lines of stderr.
    pub last_lines: Vec<String>,
}

impl fmt::Display for DaemonExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtiofsd ended ({})", self.status)?;
        self.last_lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Server {
    /// Starts a daemon, which holds `lease` until it exits. `run` is a directory that only this user can enter. Returns the daemon,
    /// and the descriptor for QEMU's chardev.
    pub fn start(
        spawner: &Spawner,
        run: &Path,
        daemon: &Virtiofsd,
        directory: &Directory,
        owner: Owner,
        lease: Option<OwnedFd>,
    ) -> Result<(Self, OwnedFd)> {
        let arguments = arguments(daemon, directory, owner, sandbox()?)?;
        let (listener, connected) = connection(run)?;
        // It serves a hostile guest, so it does not get tokens in the user's environment.
        let mut command = Command::new(&daemon.path)
            .args(arguments)
            .clear_env()
            .stderr(Stdio::Piped)
            .fd(listener, LISTENER);
        // The lease is held until the daemon exits.
        if let Some(lease) = lease {
            command = command.fd(lease, LEASE);
        }
        // The C daemon cannot translate ids. A user namespace does: the step's user in the guest is root on the host.
        let (uid, gid) = directory.inside;
        if daemon.kind == DaemonKind::C && (uid, gid) != (owner.uid, owner.gid) {
            command = command.user_namespace(IdMap::swap(uid, gid)?.with_all_rights());
        }
        let mut child = spawner.spawn(command)?;
        let stderr = child.take_stderr().expect("stderr was piped above");
        Ok((Self { child, stderr: Tail::follow(LAST_LINES, stderr, None) }, connected))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its exit, which is an error while the guest runs. May be cancelled and called again.
    pub async fn died(&mut self) -> Result<DaemonExit> {
        let status = self.child.wait().await?;
        Ok(DaemonExit { status, last_lines: self.stderr.last_lines().await? })
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
    let path = format!("/proc/self/fd/{}/virtiofsd.sock", dir.as_raw_fd());
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
    fn a_capability_is_a_bit_of_the_effective_set() {
        assert!(has_capability("CapPrm:\t0\nCapEff:\t0000000000200000\n", CAP_SYS_ADMIN));
        assert!(!has_capability("CapEff:\t00000000a80425fb\n", CAP_SYS_ADMIN));
        assert!(!has_capability("", CAP_SYS_ADMIN));
    }

    #[test]
    fn the_root_of_a_chroot_is_no_mount_point() {
        let proc = "24 22 0:21 / /proc rw,nosuid - proc proc rw\n";
        assert!(!root_is_mounted(proc));
        assert!(root_is_mounted(&format!("{proc}22 1 8:1 / / rw,relatime - ext4 /dev/root rw\n")));
    }

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
