//! The causes of a step's failure as text: what is known, and what to do about it.

use kiln_protocol::Room;

use super::{Counted, FullPlace, Limit, StepCause};
use crate::{engine::shell_message::Reason, plan::LimitSource};

impl StepCause {
    /// The cause: a sentence without a full stop.
    pub(in crate::engine) fn why(&self) -> String {
        match self {
            Self::OutOfMemory { processes, memory } => format!(
                "the kernel ended {} for want of memory: this build has {} MiB",
                counted(*processes),
                memory.mib
            ),
            Self::HostOutOfMemory { processes, memory } => format!(
                "the kernel ended {}, though the limit of {} MiB was not met: the host itself ran out of memory",
                counted(*processes),
                memory.mib
            ),
            Self::Killed { counted: Counted::Unchanged } => {
                "a process was ended by SIGKILL (137), and not by the kernel for want of memory".into()
            }
            Self::Killed { counted: Counted::Unknown } => {
                "a process was ended by SIGKILL (137): the kernel does so where memory runs out, and so do others".into()
            }
            Self::Full { place, lacks } => full(place, *lacks),
            Self::WasFull { .. } => {
                "a program found no room for what it wrote; there is some now that it has ended".into()
            }
            Self::NetworkOff { sign } => {
                format!("it may have wanted to download something, and the network is off (\"{sign}\")")
            }
            Self::OneUser => "it may have wanted another owner than root, and this sandbox has no other user: the user who started \
                              kiln has no range of ids in /etc/subuid and /etc/subgid"
                .into(),
            Self::NoProgram { name: Some(name), .. } => format!("`{name}` is no program of the image"),
            Self::NoProgram { name: None, .. } => {
                "status 127 says as a rule that a program is not in the image".into()
            }
            Self::NoLibrary { name, .. } => {
                format!("a program needs the shared library `{name}`, which is not in the image")
            }
            Self::NoFile { name, .. } => {
                format!("{} is not there, or the interpreter or loader that it names is not", file(name))
            }
            Self::NotExecutable { name, reason } => not_executable(name, *reason),
        }
    }

    /// What to do about it, if that is known.
    pub(in crate::engine) fn way_out(&self) -> Option<String> {
        Some(match self {
            Self::OutOfMemory { memory, .. } => raise(*memory, "memory", "build on a host with more memory"),
            Self::HostOutOfMemory { .. } => "build less at once on this host".into(),
            Self::Killed { counted: Counted::Unchanged } => return None,
            Self::Killed { counted: Counted::Unknown } => {
                "if the host's kernel log says \"Out of memory\", build less at once on this host".into()
            }
            Self::Full { place: FullPlace::Disk(disk), .. } | Self::WasFull { disk: Some(disk) } => {
                raise(*disk, "disk", "build on a host with a larger disk")
            }
            Self::Full { place: FullPlace::Host(_, runner), .. } => runner.traits().make_room.into(),
            Self::Full { place: FullPlace::Cache(_), .. } => {
                "make room there: `kiln cache prune` removes what was not used for long".into()
            }
            Self::WasFull { disk: None } => return None,
            Self::NetworkOff { .. } => {
                "leave out `--network off`; or, for what `fetch` and `git-checkout` get, fetch it \
                                        before with `kiln update-cache`"
                    .into()
            }
            Self::OneUser => "give that user a range: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER \
                              (and package uidmap); or take --runner qemu, which needs none"
                .into(),
            Self::NoProgram { installed, .. } | Self::NoLibrary { installed, .. } => install(*installed),
            Self::NoFile { installed, .. } => {
                format!(
                    "see whether a step before makes it; if it is its interpreter, {}",
                    install(*installed)
                )
            }
            Self::NotExecutable { name, reason } => return executable(name, *reason),
        })
    }
}

fn counted(processes: u64) -> String {
    if processes == 1 { "one of its processes".into() } else { format!("{processes} of its processes") }
}

fn file(name: &Option<String>) -> String {
    name.as_ref().map_or_else(|| "a file that it runs".into(), |name| format!("`{name}`"))
}

fn full(place: &FullPlace, lacks: Room) -> String {
    let what = match lacks {
        Room::Space => "no space is left",
        Room::Inodes => "no inode is left for another file",
    };
    match place {
        FullPlace::Disk(disk) => format!("{what} on the guest's disk of {} MiB", disk.mib),
        FullPlace::Host(path, _) => {
            format!("{what} on the host's file system of {}, where the build writes", path.display())
        }
        FullPlace::Cache(path) => {
            format!("{what} on the host's file system of {}, the cache", path.display())
        }
    }
}

fn not_executable(name: &Option<String>, reason: Option<Reason>) -> String {
    match reason {
        Some(Reason::Permission) => format!("{} has no permission to be executed", file(name)),
        Some(Reason::Format) => format!("{} is no program that this machine can run", file(name)),
        Some(Reason::Directory) => format!("{} is a directory", file(name)),
        Some(Reason::NotFound | Reason::NoSuchFile) | None => {
            "status 126 says as a rule that a file is there and cannot be executed".into()
        }
    }
}

fn executable(name: &Option<String>, reason: Option<Reason>) -> Option<String> {
    match (reason, name) {
        (Some(Reason::Permission), Some(name)) => {
            Some(format!("chmod +x {name} before, or name the interpreter: sh {name}"))
        }
        (Some(Reason::Permission), None) | (None, _) => {
            Some("chmod +x the file before, or name its interpreter: sh FILE".into())
        }
        (Some(_), _) => None,
    }
}

fn install(installed: bool) -> String {
    if installed {
        "add the package that has it to environment.contents.packages, or with --package-append".into()
    } else {
        "take an --image that has it: nothing is installed into a directory or tar".into()
    }
}

fn raise(limit: Limit, key: &str, elsewhere: &str) -> String {
    match limit.from {
        LimitSource::BuildFile => format!("raise package.resources.{key}"),
        LimitSource::CommandLine => format!("raise --{key}"),
        LimitSource::Default => format!("give it more with package.resources.{key}, or --{key}"),
        LimitSource::Host => format!("this host has no more to give: {elsewhere}"),
    }
}
