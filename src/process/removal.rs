//! Removing what a run wrote, whoever of this user's ids it belongs to. For the reaper, for kiln's own end, and for sweeps.

use std::{
    fs,
    io::{Error, ErrorKind, Result},
    os::fd::AsFd,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs},
};

use super::exec::{pidfd_kill, pidfd_open};

/// How long those in a control group may take to die: one that waits for a disk cannot be killed before that answers.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// Removes a file, a directory with all below it, or a control group with the processes in it. What is not there needs no
/// removal.
///
/// # Errors
/// When something of it stays.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() && is_cgroup(path) => remove_cgroup(path),
        Ok(metadata) if metadata.is_dir() => {
            fs::remove_dir_all(path).or_else(|_| remove_as_root_of_a_namespace(path))
        }
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn is_cgroup(path: &Path) -> bool {
    statfs(path)
        .is_ok_and(|found| [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&found.filesystem_type()))
}

/// Its files are the kernel's, and go with it; it goes when no process is in it.
fn remove_cgroup(path: &Path) -> Result<()> {
    let deadline = Instant::now() + DEATH_LIMIT;
    loop {
        let error = match fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => error,
            done => return done,
        };
        let inside = fs::read_to_string(path.join("cgroup.procs"))?;
        let pids = inside.lines().filter_map(|line| line.parse().ok());
        // One that has ended meanwhile has no descriptor.
        let dying: Vec<_> = pids.filter_map(|pid| pidfd_open(pid).ok()).collect();
        for pidfd in &dying {
            // Best effort: it may have ended by itself.
            let _ = pidfd_kill(pidfd);
            let left = deadline.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], left).map_err(Error::from)?;
        }
        if Instant::now() >= deadline {
            return Err(error);
        }
    }
}

/// For what a sandbox of an ordinary user wrote: it belongs to ids of the user's range, or may not be looked at.
fn remove_as_root_of_a_namespace(path: &Path) -> Result<()> {
    let me = ["--map-user=0", "--map-group=0"].as_slice();
    for ids in [&[me, &["--map-auto"]].concat(), me] {
        let mut command = Command::new("unshare");
        command
            .env("PATH", "/usr/bin:/bin")
            .arg("--user")
            .args(ids)
            .args(["--", "rm", "-rf", "--"])
            .arg(path);
        // Best effort: a user without a range has no ids but their own, and the second way is theirs.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    fs::remove_dir_all(path)
}
