//! All processes of a case: those with its mark, kiln's reaper, and those that name its directory on the command line.

use std::{
    fs,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::AsFd;

use crate::place::{MARK, Place};

/// How long the dead may take: a process that waits for a disk goes when that answers.
const DEATH: Duration = Duration::from_secs(20);

/// A process of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its number.
    pub(crate) pid: i32,
    /// Its parent's.
    pub(crate) parent: i32,
    /// When it was started, in ticks since the start of the machine: with its number, its identity.
    pub(crate) start: u64,
    /// Its command line.
    pub(crate) arguments: String,
}

/// The processes that exist now, without zombies.
pub(crate) fn members(place: &Place) -> Vec<Member> {
    let mark = format!("{MARK}={}", place.mark());
    let root = place.root().as_os_str().as_bytes();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let mut own: Vec<Member> = Vec::new();
    let mut others = Vec::new();
    for pid in pids {
        let Some((member, arguments)) = look_at(pid) else { continue };
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let marked = environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes());
        if marked || arguments.windows(root.len()).any(|window| window == root) {
            own.push(member);
        } else {
            others.push(member);
        }
    }
    // The reaper's environment is empty; it names the run, which begins with kiln's number, as a child of kiln's does.
    let runs: Vec<String> = own.iter().filter_map(|member| run_of(member.pid)).collect();
    let is_reaper = |member: &Member| {
        let mut words = member.arguments.split(' ').skip(1);
        let run = words.next().filter(|word| *word == "__reaper").and_then(|_| words.next());
        run.is_some_and(|run| {
            runs.iter().any(|own| own == run)
                || own.iter().any(|kiln| run.starts_with(&format!("{}-", kiln.pid)))
        })
    };
    let reapers: Vec<Member> = others.into_iter().filter(is_reaper).collect();
    own.extend(reapers);
    own
}

/// Those of `members` that have not ended within [`DEATH`], and what else has come.
pub(crate) fn survivors(place: &Place, known: Vec<Member>) -> Vec<Member> {
    let deadline = Instant::now() + DEATH;
    let mut dying = known;
    loop {
        let mut stay: Vec<Member> = dying.into_iter().filter(|member| !ends(member, deadline)).collect();
        let now = members(place);
        stay.retain(is_there);
        dying = now.into_iter().filter(|new| !stay.iter().any(|old| old.pid == new.pid)).collect();
        if dying.is_empty() || Instant::now() >= deadline {
            stay.extend(dying);
            return stay;
        }
    }
}

/// Waits for the end of a process.
fn ends(member: &Member, deadline: Instant) -> bool {
    let Ok(pidfd) = pidfd(member.pid) else { return true };
    // The number may be a stranger's by now.
    !is_there(member) || ended(&pidfd, deadline)
}

/// Its parent may have become another one.
fn is_there(member: &Member) -> bool {
    look_at(member.pid).is_some_and(|(now, _)| now.start == member.start)
}

/// Waits until the process has ended, or the deadline.
pub(crate) fn ended(pidfd: &OwnedFd, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = PollTimeout::try_from(left).unwrap();
    poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], left).unwrap() == 1
}

/// A descriptor of a process.
pub(crate) fn pidfd(pid: i32) -> rustix::io::Result<OwnedFd> {
    pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty())
}

/// The processes that have a file below `directory` open.
pub(crate) fn with_open(directory: &Path) -> Vec<Member> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let has_it = |pid: &i32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|path| path.starts_with(directory))
    };
    pids.filter(has_it).filter_map(|pid| look_at(pid).map(|(member, _)| member)).collect()
}

/// All that descends from `pid`, but for its reaper.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let all: Vec<Member> = pids.filter_map(|pid| look_at(pid).map(|(member, _)| member)).collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        let is_child = |member: &&Member| member.parent == parent && !member.arguments.contains(" __reaper ");
        found.extend(all.iter().filter(is_child).map(|member| member.pid));
        at += 1;
    }
    found.split_off(1)
}

fn look_at(pid: i32) -> Option<(Member, Vec<u8>)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?;
    let parent = words.next()?.parse().ok()?;
    // Field 22 of proc_pid_stat(5); the state is field 3.
    let start = words.nth(17)?.parse().ok()?;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&arguments).trim_end_matches('\0').replace('\0', " ");
    // The first thread may be a zombie while others still close what they have open.
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let gone = state == "X" || (state == "Z" && threads() < 2);
    (!gone).then_some((Member { pid, parent, start, arguments: text }, arguments))
}

/// The run that a process belongs to (see `src/process/reaper_client.rs`).
fn run_of(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let run =
        environment.split(|&byte| byte == 0).find_map(|variable| variable.strip_prefix(b"KILN_RUN_ID="))?;
    Some(String::from_utf8_lossy(run).into_owned())
}
