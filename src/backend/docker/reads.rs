//! Counts reads of the cache by steps on the host: fanotify needs root of the host, which the agent in a container is not.
//!
//! Before it: a prepared container. After it: a count, or the reason why there is none. Files of the container are opened by a
//! thread of its own, so that they cannot block kiln. A pid is that of the container's first process if its control groups have the
//! container's id: it may be that of another process by now, or of a daemon on another machine.

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
    files::binds,
};
use crate::plan::{Bind, BindSource, CACHE, Plan, Writes};

/// The limit for some system calls.
const BEGIN: Duration = Duration::from_secs(5);
/// The limit for at most 16384 queued files on local file systems.
const ANSWER: Duration = Duration::from_secs(20);

/// The longest file of /proc that is read: more than the mounts of any container.
const MAX_PROC_BYTES: u64 = 1 << 20;

/// The shortest id of a container.
const SHORTEST_ID: usize = 12;

const PROCESS: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// The directory whose reads are counted.
#[derive(Debug, Clone)]
pub(super) struct CountedDirectory {
    /// Its path in the container.
    directory: &'static str,
    /// If it is an overlay: its upper directory in the container, and the lower one on the host.
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

/// A counter of reads.
#[derive(Debug)]
pub(super) enum ReadCounter {
    /// It could not start, for this reason.
    Unable(String),
    /// A thread that counts.
    Running {
        /// When it is closed, the thread answers.
        stop: OwnedFd,
        answer: oneshot::Receiver<Reads>,
    },
}

impl ReadCounter {
    /// Begins to count what is read in a container.
    pub(super) async fn begin(api: &Api, container: &str, counted: &CountedDirectory) -> Self {
        if !Uid::effective().is_root() {
            return Self::Unable("reads of a container are counted only if kiln runs as root".into());
        }
        let begun = async {
            // Changes of the agent and of steps in the same tick of the kernel's clock have the same change time.
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
            // After a timeout there is no receiver.
            if begins.send(()).is_ok() {
                drop(answers.send(count_until(&mut reader, &stopped)));
            }
        };
        thread::Builder::new().name("reads".into()).spawn(count).context("start a thread")?;
        let begun = timeout(BEGIN, begun).await;
        begun.with_context(|| {
            format!("the container's directories could not be opened within {} s", BEGIN.as_secs())
        })??;
        Ok(Self::Running { stop, answer })
    }

    /// The count.
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
                Reads::Unknown(format!("the queued reads could not be counted within {} s", ANSWER.as_secs()))
            }
        }
    }
}

/// The resolution of change times.
fn tick() -> Result<Duration> {
    let tick = clock_getres(ClockId::CLOCK_REALTIME_COARSE).context("ask for the tick of the clock")?;
    Ok(tick.into())
}

/// Counts events until the other end of `stopped` is closed.
fn count_until(reader: &mut Reader, stopped: &OwnedFd) -> Reads {
    loop {
        let mut fds = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        fds.extend(reader.waits_for().map(|group| PollFd::new(group, PollFlags::POLLIN)));
        // On an error (EINTR, ENOMEM) poll is repeated.
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
            "process {pid}, the container's first according to docker, is not a process of the container here: the daemon is in another pid \
             namespace, or on another machine"
        )
    };
    // Files that are opened below this descriptor belong to this process, or fail to open.
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

/// A file of /proc/PID.
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
            assert!(format!("{refused:#}").contains("is not a process of the container here"), "{refused:#}");
        }
    }
}
