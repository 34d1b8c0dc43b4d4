//! Removes files of a run, of whatever id of this user's range. For the reaper, for kiln's own end, and for sweeps.

use std::{
    ffi::OsString,
    fs,
    io::{Error, ErrorKind, Result},
    os::{fd::AsFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    mount::{MntFlags, umount2},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs},
};

use super::{mountinfo::mount_points, pidfd};

/// How long the processes of a control group may take to end: a process that waits for a disk ends only after that.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// Removes a file, a directory recursively, or a control group with its processes. A missing file is no error.
///
/// # Errors
/// When something of it is left.
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

/// Detaches all mounts on `directory` and below it, the last one first. The directory's path must be without links, as those of the
/// kernel's list are.
///
/// # Errors
/// When something stays mounted.
pub fn detach_below(directory: &Path) -> Result<()> {
    // A mount may hide another one of the same path: each round detaches the topmost.
    for _ in 0..ROUNDS {
        let below = mounts_below(&fs::read("/proc/self/mountinfo")?, directory);
        if below.is_empty() {
            return Ok(());
        }
        for mount in below.iter().rev() {
            match umount2(mount, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
                // It was detached with one above it.
                Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Err(Error::new(ErrorKind::ResourceBusy, "mounts in it cannot all be detached"))
}

/// How often mounts are looked for.
const ROUNDS: usize = 16;

/// The mount points that are `directory` or below it, in the order of mounting.
fn mounts_below(mountinfo: &[u8], directory: &Path) -> Vec<PathBuf> {
    let points = mount_points(mountinfo).map(|point| PathBuf::from(OsString::from_vec(point)));
    points.filter(|point| point.starts_with(directory)).collect()
}

fn is_cgroup(path: &Path) -> bool {
    statfs(path)
        .is_ok_and(|found| [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&found.filesystem_type()))
}

/// Removes a control group once it has no processes; its files need no removal.
fn remove_cgroup(path: &Path) -> Result<()> {
    let deadline = Instant::now() + DEATH_LIMIT;
    loop {
        let error = match fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => error,
            done => return done,
        };
        let inside = fs::read_to_string(path.join("cgroup.procs"))?;
        let pids = inside.lines().filter_map(|line| line.parse().ok());
        // A process that has ended meanwhile has no descriptor.
        let dying: Vec<_> = pids.filter_map(|pid| pidfd::open(pid).ok()).collect();
        for pidfd in &dying {
            // Best effort: it may have ended by itself.
            let _ = pidfd::kill(pidfd);
            let left = deadline.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], left).map_err(Error::from)?;
        }
        if Instant::now() >= deadline {
            return Err(error);
        }
    }
}

/// For files of an ordinary user's sandbox: they belong to ids of the user's range, or are not accessible.
fn remove_as_root_of_a_namespace(path: &Path) -> Result<()> {
    let me = ["--map-user=0", "--map-group=0"].as_slice();
    for ids in [&[me, &["--map-auto"]].concat(), me] {
        let mut command = Command::new("unshare");
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .arg("--user")
            .args(ids)
            .args(["--", "rm", "-rf", "--one-file-system", "--"])
            .arg(path);
        // Best effort: the second way is for users without a range.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    fs::remove_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_in_the_directory_are_found() {
        let mountinfo = b"22 1 8:1 / / rw - ext4 /dev/sda rw\n30 22 0:5 / /var/tmp/a rw - proc proc rw\n\
            31 22 0:5 / /var/tmp/ab rw - proc proc rw\n32 30 0:5 / /var/tmp/a/x\\040y\\134 rw shared:1 - proc proc rw\n";
        let found = |directory: &str| mounts_below(mountinfo, Path::new(directory));
        assert_eq!(found("/var/tmp/a"), [Path::new("/var/tmp/a"), Path::new("/var/tmp/a/x y\\")]);
        assert_eq!(found("/var/tmp/a/x y\\"), [Path::new("/var/tmp/a/x y\\")]);
        assert!(found("/nowhere").is_empty());
    }
}
