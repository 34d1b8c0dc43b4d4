//! Removing what a run wrote, whoever of this user's ids it belongs to. For the reaper, for kiln's own end, and for sweeps.

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

/// Unmounts, lazily and the last one first, what is mounted on `directory` and below it. The directory's own path must have
/// no link in it; those of the mounts are the kernel's.
///
/// # Errors
/// When something stays mounted.
pub fn detach_below(directory: &Path) -> Result<()> {
    // One that is mounted on another of the same path hides it: each round takes the topmost.
    for _ in 0..ROUNDS {
        let below = mounts_below(&fs::read("/proc/self/mountinfo")?, directory);
        if below.is_empty() {
            return Ok(());
        }
        for mount in below.iter().rev() {
            match umount2(mount, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
                // It went with one that it was below.
                Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Err(Error::new(ErrorKind::ResourceBusy, "something is mounted in it again and again"))
}

/// How often mounts are looked for anew.
const ROUNDS: usize = 16;

/// The mount points of proc_pid_mountinfo(5) that are `directory` or below it, in the order of mounting.
fn mounts_below(mountinfo: &[u8], directory: &Path) -> Vec<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4)).map(unescaped);
    points.filter(|point| point.starts_with(directory)).collect()
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'\\').then(|| after.get(..3)).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
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
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .arg("--user")
            .args(ids)
            .args(["--", "rm", "-rf", "--one-file-system", "--"])
            .arg(path);
        // Best effort: a user without a range has no ids but their own, and the second way is theirs.
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
