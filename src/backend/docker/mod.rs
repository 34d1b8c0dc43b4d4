//! The container: `docker run`, with the agent as its first process and the protocol on its stdin and stdout.
//!
//! ```text
//! image (imported once) -> docker run --interactive … AGENT --stdio
//! ```
//!
//! Before it: the plan, the image, the agent's program. After it: `engine`, which sends requests to the agent; then
//! [`Docker::clean`]. The container has nothing of the host but the plan's binds. All objects have the run's label: if kiln is
//! killed, dockerd does not remove them, and the next run does.

mod api;
mod argv;
mod bind_fds;
mod cli;
mod container;
mod daemon_mntns;
mod files;
mod fingerprints;
mod image;
mod isolation;
mod launch;
mod mounts;
pub mod plan;
pub mod probe;
mod reads;
mod sweep;
mod whiteouts;

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::unix::pipe::Receiver, sync::Mutex, time::timeout};

pub use argv::argv;
pub use files::Files;
pub use image::prune;
pub use launch::find;

use self::{
    api::{Api, ObjectKind, Removal},
    bind_fds::BindFds,
    cli::Cli,
    container::{Attached, Container},
    daemon_mntns::MountNamespace,
    reads::CountedDirectory,
    sweep::RemovalWait,
};
use super::{BoxFuture, Launched, Runner};
use crate::{
    event::{Event, Sink, WarningKind},
    image::Image,
    plan::{BindSource, Overlay, Plan, Writes},
    process::{Command, ExitStatus, Spawner, Stdio, Tail},
};

/// How many of the last lines of the agent and of docker are kept.
const LAST_LINES: usize = 40;
/// How long a container may take to end after its channel has closed.
const END_LIMIT: Duration = Duration::from_secs(20);

/// The directory of a run that takes the place of a missing directory of the cache.
const EMPTY: &str = "empty";

/// dockerd, and its input besides the plan.
pub struct Docker<'a> {
    cli: Cli<'a>,
    root: PathBuf,
    image: String,
    agent: PathBuf,
    run_dir: PathBuf,
    bind_fds: BindFds,
    volumes: Vec<String>,
    /// Volumes that could not be removed.
    volumes_in_use: Vec<String>,
    run: Option<Attached>,
    /// A duplicate of the command's stdout, which keeps it open after the session.
    stdout: Option<Receiver>,
}

/// The input of a container.
pub struct ContainerInput<'a> {
    /// Starts the command.
    pub spawner: &'a Spawner,
    /// The command.
    pub docker: PathBuf,
    /// Where dockerd listens: `unix://PATH` or `tcp://HOST:PORT`.
    pub endpoint: String,
    /// dockerd's own directory.
    pub root: PathBuf,
    /// The agent's program.
    pub agent: PathBuf,
    /// The run's directory.
    pub run_dir: PathBuf,
}

impl<'a> Docker<'a> {
    /// Removes objects of dead runs, and imports the image if docker does not have it.
    ///
    /// # Errors
    /// When dockerd refuses.
    pub async fn new(input: ContainerInput<'a>, image: &Image, sink: &mut dyn Sink) -> Result<Self> {
        let ContainerInput { spawner, docker, endpoint, root, agent, run_dir } = input;
        let cli = Cli { spawner, docker, api: Api { endpoint } };
        let sweep = sweep::sweep(&cli.api, RemovalWait::Skip);
        let ((), image) = tokio::try_join!(sweep, image::ensure(&cli, image, sink))?;
        Ok(Self {
            cli,
            root,
            image,
            agent,
            run_dir,
            bind_fds: BindFds::default(),
            volumes: Vec::new(),
            volumes_in_use: Vec::new(),
            run: None,
            stdout: None,
        })
    }

    fn files(&self) -> Files<'_> {
        Files {
            docker: &self.cli.docker,
            root: &self.root,
            image: &self.image,
            agent: &self.agent,
            run_dir: &self.run_dir,
            fd_paths: &self.bind_fds.paths,
        }
    }

    fn start(&mut self, plan: &Plan) -> Result<Launched> {
        for (at, bind) in files::binds(plan) {
            let (Writes::Overlaid(Overlay { layer, .. }) | Writes::ReadOnlyOverlay(layer)) = &bind.writes
            else {
                continue;
            };
            if let (BindSource::Directory(directory), false) = (&bind.source, layer.is_empty()) {
                whiteouts::make(&self.files().layer(at), directory, layer)?;
            }
        }
        let daemon_mntns = MountNamespace::of(&self.cli.api.endpoint)?;
        self.paths(plan).try_for_each(|path| daemon_mntns.check(path))?;
        self.bind_fds = BindFds::of(plan, &self.run_dir.join(EMPTY), &daemon_mntns)?;
        self.volumes = mounts::volumes(plan, self.files());
        let mut line = argv(plan, self.files()).into_iter();
        let command = Command::new(line.next().context("the command line is empty")?).args(line);
        let command = command.stdin(Stdio::Piped).stdout(Stdio::Piped).stderr(Stdio::Piped);
        let mut run = self.cli.spawner.spawn(command)?;
        let writer = run.take_stdin().context("docker's stdin was piped above")?;
        let reader = run.take_stdout().context("docker's stdout was piped above")?;
        let stdout = reader.as_fd().try_clone_to_owned().context("copy a descriptor of docker's stdout")?;
        self.stdout = Some(Receiver::from_owned_fd(stdout).context("watch docker's stdout")?);
        let stderr =
            Tail::follow(LAST_LINES, run.take_stderr().context("docker's stderr was piped above")?, None);
        let run = Arc::new(Mutex::new(run));
        let (api, name, root) = (self.cli.api.clone(), self.files().name(), self.root.clone());
        let counted = CountedDirectory::of(plan);
        let machine =
            Box::new(Container { run: Arc::clone(&run), stderr, api, name, root, counted, counter: None });
        self.run = Some(run);
        Ok(Launched { reader: Box::pin(reader), writer: Box::pin(writer), machine })
    }

    /// The paths of the host that dockerd resolves.
    fn paths<'p>(&'p self, plan: &'p Plan) -> impl Iterator<Item = &'p Path> {
        let sources = files::binds(plan).filter_map(|(_, bind)| match &bind.source {
            BindSource::Directory(path) | BindSource::Below { directory: path, .. } => Some(path.as_path()),
            BindSource::Agent | BindSource::Scratch | BindSource::Root => None,
        });
        [self.agent.as_path(), &self.run_dir].into_iter().chain(sources)
    }

    /// Removes the objects of this run and of dead runs.
    async fn remove(&mut self) -> Result<()> {
        let (run, stdout) = (self.run.take(), self.stdout.take());
        let (ended, swept) =
            tokio::join!(self.end(run, stdout), sweep::sweep(&self.cli.api, RemovalWait::Await));
        ended?;
        for volume in std::mem::take(&mut self.volumes) {
            if self.cli.api.remove(ObjectKind::Volume, &volume).await? == Removal::InUse {
                self.volumes_in_use.push(volume);
            }
        }
        swept
    }

    /// Waits until the container is removed: dockerd removes it when its agent has exited.
    async fn end(&self, run: Option<Attached>, stdout: Option<Receiver>) -> Result<()> {
        let Some(run) = run else { return Ok(()) };
        let mut run = run.lock().await;
        // With `--rm` the command exits with 0 after the removal, if its output is read. Otherwise the agent or docker has
        // failed, and the container may still exist.
        let end = async { tokio::join!(run.wait(), drain(stdout)).0 };
        if !matches!(timeout(END_LIMIT, end).await, Ok(Ok(ExitStatus::Code(0)))) {
            let name = self.files().name();
            if self.cli.api.remove(ObjectKind::Container, &name).await? == Removal::InProgress {
                self.cli.api.wait_removed(&name, END_LIMIT).await?;
            }
            run.kill();
        }
        Ok(())
    }
}

/// Reads and discards all remaining output.
async fn drain(stdout: Option<Receiver>) {
    if let Some(mut stdout) = stdout {
        // Best effort: an error is an end, too.
        drop(tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await);
    }
}

impl Runner for Docker<'_> {
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> BoxFuture<'a, Result<Launched>> {
        Box::pin(async move { self.start(plan) })
    }

    fn remarks(&self) -> Vec<Event> {
        let copied = self.bind_fds.why_copied.iter().map(|why| Event::Note {
            text: format!(
                "the container has copied the whole cache, since it could not be mounted with other owners: {why}"
            ),
        });
        let used = self.volumes_in_use.iter().map(|volume| Event::Warning {
            kind: WarningKind::VolumeStays,
            text: format!("a container still uses the volume {volume}: the next start of kiln removes it"),
        });
        copied.chain(used).collect()
    }

    fn clean(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.remove())
    }
}
