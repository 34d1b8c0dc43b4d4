//! What steps read of the cache, counted from outside: a container has no right to ask the kernel for it, root of its host has.
//!
//! Before it: a container whose world stands. After it: a count, or the reason why there is none. All that looks into the
//! container is a thread of its own: kiln does not wait for a file of the guest's. A process is the container's first one if
//! its control groups bear the container's id: a number that somebody else has by now, or that of another machine, is not.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kiln_protocol::Reads;
use kiln_reads::{Directory, Layers, Reader};
use nix::{
    fcntl::{OFlag, open, openat},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::stat::Mode,
    time::{ClockId, clock_getres},
    unistd::{Uid, pipe2},
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    api::{Api, FirstProcess},
    argv::binds,
};
use crate::plan::{Bind, BindSource, CACHE, Plan, Writes};

/// A handful of system calls.
const BEGIN: Duration = Duration::from_secs(5);
/// For 16384 files at most that have not been looked at, of the host's own file systems.
const ANSWER: Duration = Duration::from_secs(20);

/// More than the kernel says of any process, or of a container's mounts.
const MAX_PROC_BYTES: u64 = 1 << 20;

/// The shortest id of a container that is one.
const SHORTEST_ID: usize = 12;

const PROCESS: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// What is counted in.
#[derive(Debug, Clone)]
pub(super) struct CountedDirectory {
    /// The directory, seen from inside.
    directory: &'static str,
    /// If it is an overlay: its upper directory, seen from inside, and the lower one, from outside.
    layers: Option<(PathBuf, PathBuf)>,
}

impl CountedDirectory {
    /// The cache of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        let layers = binds(plan).find_map(|(_, Bind { source, target, writes })| match (source, writes) {
            (BindSource::Directory(lower), Writes::Overlaid(overlay)) if target == CACHE => {
                Some((Path::new(&overlay.volumes).join("upper"), lower.clone()))
            }
            _ => None,
        });
        Self { directory: CACHE, layers }
    }
}

/// Whoever counts.
#[derive(Debug)]
pub(super) enum ReadCounter {
    /// Nobody, for the reason in this sentence.
    Unable(String),
    /// A thread.
    Running {
        /// Its end asks for the answer.
        stop: OwnedFd,
        answer: oneshot::Receiver<Reads>,
    },
}

impl ReadCounter {
    /// Begins to count what is read in a container.
    pub(super) async fn begin(api: &Api, container: &str, counted: &CountedDirectory) -> Self {
        if !Uid::effective().is_root() {
            return Self::Unable(
                "a container may not ask the kernel what its steps read; kiln as root could".into(),
            );
        }
        let begun = async {
            // What the agent has changed in this tick of the kernel's clock could not be told from what steps change.
            let (process, ()) = tokio::join!(api.first_process(container), sleep(tick()?));
            Self::listen(process?, counted.clone()).await
        };
        begun.await.unwrap_or_else(|error| Self::Unable(format!("{error:#}")))
    }

    async fn listen(process: FirstProcess, counted: CountedDirectory) -> Result<Self> {
        let (stopped, stop) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
        let (begins, begun) = oneshot::channel();
        let (answers, answer) = oneshot::channel();
        let count = move || {
            let mut reader = Reader::of(counted_directory(&process, &counted));
            // Who has given up does not hear it.
            if begins.send(()).is_ok() {
                drop(answers.send(count_until(&mut reader, &stopped)));
            }
        };
        thread::Builder::new().name("reads".into()).spawn(count).context("start a thread")?;
        let begun = timeout(BEGIN, begun).await;
        begun.with_context(|| {
            format!("the container could not be looked into within {} s", BEGIN.as_secs())
        })??;
        Ok(Self::Running { stop, answer })
    }

    /// What has been read.
    pub(super) async fn end(self) -> Reads {
        let (stop, answer) = match self {
            Self::Unable(why) => return Reads::Unknown(why),
            Self::Running { stop, answer } => (stop, answer),
        };
        drop(stop);
        match timeout(ANSWER, answer).await {
            Ok(Ok(reads)) => reads,
            Ok(Err(_)) => Reads::Unknown("the thread that counts has panicked".into()),
            Err(_) => {
                Reads::Unknown(format!("what was read could not be looked at within {} s", ANSWER.as_secs()))
            }
        }
    }
}

/// How finely change times are told apart.
fn tick() -> Result<Duration> {
    let tick = clock_getres(ClockId::CLOCK_REALTIME_COARSE).context("ask for the tick of the clock")?;
    Ok(tick.into())
}

/// Takes what comes, until nobody holds the other end of `stopped`.
fn count_until(reader: &mut Reader, stopped: &OwnedFd) -> Reads {
    loop {
        let mut fds = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        fds.extend(reader.waits_for().map(|group| PollFd::new(group, PollFlags::POLLIN)));
        // An error is an interruption, or no memory: it is tried again.
        if poll(&mut fds, PollTimeout::NONE).is_ok() && fds[0].any() == Some(true) {
            return reader.answer();
        }
        reader.take();
    }
}

/// The directory as the steps of a container see it.
fn counted_directory(process: &FirstProcess, counted: &CountedDirectory) -> Result<Directory> {
    let CountedDirectory { directory, layers } = counted;
    let FirstProcess { container, pid } = process;
    let foreign = || {
        format!(
            "process {pid}, which docker calls the container's first, is none of it here: the daemon is in another pid \
             namespace, or on another machine"
        )
    };
    // What is opened below it is of this process or of none.
    let process = open(Path::new(&format!("/proc/{pid}")), PROCESS, Mode::empty()).with_context(foreign)?;
    let groups = read_proc(&process, "cgroup")?;
    ensure!(container.len() >= SHORTEST_ID && groups.contains(container.as_str()), foreign());
    let mounts = read_proc(&process, "mountinfo")?;
    let root = openat(&process, "root", PROCESS, Mode::empty()).context("open the container's root")?;
    let directory = Directory::of(root.as_fd(), Path::new(directory), &mounts)?;
    let layers = layers.as_ref().map(|(upper, lower)| {
        let upper = kiln_reads::open(root.as_fd(), upper)?;
        let lower = open(lower, PROCESS, Mode::empty()).context("open the cache")?;
        anyhow::Ok(Layers { upper, lower })
    });
    Ok(directory.made_of(layers.transpose()?))
}

/// What the kernel says of a process.
fn read_proc(process: &OwnedFd, name: &str) -> Result<String> {
    let context = || format!("read the container's {name}");
    let file =
        openat(process, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).with_context(context)?;
    let mut bytes = Vec::new();
    File::from(file).take(MAX_PROC_BYTES).read_to_end(&mut bytes).with_context(context)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_outside_the_container_is_refused() {
        let counted = CountedDirectory { directory: "/", layers: None };
        for (container, pid) in
            [("0123456789abcdef", std::process::id()), ("", std::process::id()), ("0123456789abcdef", 0)]
        {
            let process = FirstProcess { container: container.into(), pid };
            let Err(refused) = counted_directory(&process, &counted) else { panic!("{process:?}") };
            assert!(format!("{refused:#}").contains("is none of it here"), "{refused:#}");
        }
    }
}
