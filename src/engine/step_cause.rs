//! Why a step has failed, as far as that can be known: the one place that decides it.
//!
//! The output of a guest proves nothing. The kernel's counts and the state of file systems are facts; the messages of programs are
//! only a possibility, of which a short name and the words of a table are shown.

#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf};

use kiln_protocol::{Exhausted, ExitStatus, Room};

use super::shell_message::{self, Reason};
use crate::plan::{CACHE, ImageSource, LimitSource, Machine, Network, Plan, RunnerKind};

/// Exit statuses of a shell that could not run its program.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;
/// And of a shell whose program was ended by SIGKILL.
const KILLED: i32 = 128 + 9;

/// How a step ended.
#[derive(Debug)]
pub(super) struct StepEnd {
    pub(super) status: ExitStatus,
    /// The counts of the agent and the host.
    pub(super) exhausted: Exhausted,
    /// Its last lines.
    pub(super) last_lines: Vec<String>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepCause {
    /// The kernel has ended processes that needed more memory than the limit.
    OutOfMemory { processes: u64, memory: Limit },
    /// The kernel has ended processes, though they were within the limit.
    HostOutOfMemory { processes: u64, memory: Limit },
    /// A process was ended by SIGKILL, for a reason that is not known.
    Killed { counted: Counted },
    /// A file system takes no more.
    Full { place: FullPlace, lacks: Room },
    /// A program says that there was no room; now there is.
    WasFull { disk: Option<Limit> },
    /// There is no network, and a program may have wanted one.
    NetworkOff { sign: &'static str },
    /// The guest has one user, and a program may have wanted to give a file to another, or to be another.
    OneUser,
    /// A program is not in the image; `installed` says whether packages can be installed into that.
    NoProgram { name: Option<String>, installed: bool },
    /// A shared library is not in the image.
    NoLibrary { name: String, installed: bool },
    /// A path is not there, or what runs it.
    NoFile { name: Option<String>, installed: bool },
    /// A file is there and cannot be executed; `reason` is known where the shell names it.
    NotExecutable { name: Option<String>, reason: Option<Reason> },
}

/// Whether the kernel's count of processes ended for want of memory is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// It has not changed.
    Unchanged,
    /// It is not known.
    Unknown,
}

/// A limit in MiB and what sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) mib: u64,
    pub(super) from: LimitSource,
}

/// The full file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FullPlace {
    /// The guest's disk.
    Disk(Limit),
    /// The one of this directory of the host, in which a backend keeps the writes of steps.
    Host(PathBuf, RunnerKind),
    /// The one of the host's cache directory.
    Cache(PathBuf),
}

/// The limits of a build's steps.
pub(super) struct Surroundings {
    memory: Limit,
    disk: Option<Limit>,
    scratch: Option<PathBuf>,
    cache: Option<PathBuf>,
    runner: RunnerKind,
    network: Network,
    installed: bool,
    has_one_user: bool,
}

/// The message of Linux for a user or group that a user namespace does not have, in lower case: strerror(3) of EINVAL.
const NO_SUCH_ID: &str = "invalid argument";
/// What programs that change owners or become another user say with it: chown, chgrp, install, cp, tar, su, setpriv.
const OF_OWNERS: [&str; 6] = ["chown", "chgrp", "owner", "setuid", "setgid", "setgroups"];

/// Messages of programs when a name has no address or an address cannot be reached: of glibc and musl for getaddrinfo(3) and
/// connect(2), and of curl, git, wget, busybox, Go, Rust, Node.js and Java. In lower case.
const NO_NETWORK: [&str; 17] = [
    "temporary failure in name resolution",
    "name or service not known",
    "no address associated with hostname",
    "name does not resolve",
    "could not resolve host",
    "unable to resolve host address",
    "temporary failure resolving",
    "failed to lookup address information",
    "bad address '",
    "no such host",
    "dial tcp: lookup",
    "getaddrinfo eai_again",
    "getaddrinfo enotfound",
    "unknownhostexception",
    "network is unreachable",
    "enetunreach",
    "no route to host",
];

/// Their messages when there is no room: strerror(3).
const NO_ROOM: [&str; 2] = ["no space left on device", "disk quota exceeded"];

impl Surroundings {
    /// The limits of a plan; `scratch` is the host's directory for the writes of steps, if they have no disk.
    pub(super) fn of(plan: &Plan, scratch: Option<&Path>) -> Self {
        let of_machine = |machine: &Machine| Limit { mib: machine.disk_bytes >> 20, from: machine.disk_from };
        let disk = plan.platform.machine().map(of_machine);
        Self {
            memory: Limit { mib: plan.resources.memory_mib, from: plan.resources.memory_from },
            disk,
            scratch: scratch.map(Path::to_owned),
            cache: plan.cache.as_ref().filter(|_| plan.writes_through()).map(|cache| cache.directory.clone()),
            runner: plan.runner(),
            network: plan.network,
            installed: matches!(plan.image.source, ImageSource::Debian(_) | ImageSource::Apk(_)),
            has_one_user: plan.platform.has_one_user(),
        }
    }

    /// The known causes of a step's end, the surest first.
    pub(super) fn causes(&self, end: &StepEnd) -> Vec<StepCause> {
        let status = match end.status {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => 128 + signal,
            // The cause is known.
            ExitStatus::TimedOut | ExitStatus::Cancelled => return Vec::new(),
        };
        let mut causes: Vec<StepCause> = self.memory(status, &end.exhausted).into_iter().collect();
        causes.extend(self.room(end));
        causes.extend(self.network(&end.last_lines));
        causes.extend(self.owners(&end.last_lines));
        causes.extend(self.program(status, &end.last_lines));
        causes
    }

    fn memory(&self, status: i32, exhausted: &Exhausted) -> Option<StepCause> {
        let memory = self.memory;
        match exhausted.memory {
            Some(events) if events.oom_kills > 0 => {
                let processes = events.oom_kills;
                Some(match events.limit_hits {
                    Some(0) => StepCause::HostOutOfMemory { processes, memory },
                    Some(_) | None => StepCause::OutOfMemory { processes, memory },
                })
            }
            _ if status != KILLED => None,
            Some(_) => Some(StepCause::Killed { counted: Counted::Unchanged }),
            None => Some(StepCause::Killed { counted: Counted::Unknown }),
        }
    }

    fn room(&self, end: &StepEnd) -> Vec<StepCause> {
        let mut causes: Vec<StepCause> = Vec::new();
        for found in &end.exhausted.full {
            let place = match (&self.cache, self.disk, &self.scratch) {
                (Some(cache), _, _) if found.path == CACHE => FullPlace::Cache(cache.clone()),
                (_, Some(disk), _) => FullPlace::Disk(disk),
                (_, None, Some(scratch)) => FullPlace::Host(scratch.clone(), self.runner),
                (_, None, None) => continue,
            };
            let cause = StepCause::Full { place, lacks: found.lacks };
            // Several directories may be on one file system.
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        if causes.is_empty() && sign(&NO_ROOM, &end.last_lines).is_some() {
            causes.push(StepCause::WasFull { disk: self.disk });
        }
        causes
    }

    fn network(&self, lines: &[String]) -> Option<StepCause> {
        match self.network {
            Network::On => None,
            Network::Off => sign(&NO_NETWORK, lines).map(|sign| StepCause::NetworkOff { sign }),
        }
    }

    fn owners(&self, lines: &[String]) -> Option<StepCause> {
        let is_of_owners = |line: &String| {
            let line = line.to_ascii_lowercase();
            line.contains(NO_SUCH_ID) && OF_OWNERS.iter().any(|word| line.contains(word))
        };
        (self.has_one_user && lines.iter().any(is_of_owners)).then_some(StepCause::OneUser)
    }

    fn program(&self, status: i32, lines: &[String]) -> Option<StepCause> {
        let installed = self.installed;
        let said = shell_message::last(lines);
        match (status, said) {
            (NOT_FOUND, Some((name, Reason::NotFound))) => Some(StepCause::NoProgram { name, installed }),
            (NOT_FOUND | NOT_EXECUTABLE, Some((name, Reason::NoSuchFile))) => {
                Some(StepCause::NoFile { name, installed })
            }
            (NOT_FOUND, _) => Some(match shell_message::missing_library(lines) {
                Some(name) => StepCause::NoLibrary { name, installed },
                None => StepCause::NoProgram { name: None, installed },
            }),
            (NOT_EXECUTABLE, Some((name, reason))) => {
                let reason = Some(reason).filter(|reason| *reason != Reason::NotFound);
                Some(StepCause::NotExecutable { name, reason })
            }
            (NOT_EXECUTABLE, None) => Some(StepCause::NotExecutable { name: None, reason: None }),
            _ => None,
        }
    }
}

/// The first entry of a table that is in one of these lines.
fn sign(table: &[&'static str], lines: &[String]) -> Option<&'static str> {
    let lines: Vec<String> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
    table.iter().find(|words| lines.iter().any(|line| line.contains(**words))).copied()
}
