//! The container: `docker run`, with the agent as its first process and the wire on its stdin and stdout.
//!
//! ```text
//! image (imported once) -> volumes for overlays -> docker run --interactive … AGENT --stdio
//! ```
//!
//! Before it: the plan, the image, the agent's program. After it: `engine`, which speaks to the agent; then [`Docker::clean`].
//! Nothing of the host is in the container but the plan's binds. Everything bears the run's label: what a killed run leaves
//! (dockerd knows nothing of kiln's death but that nobody is attached any more) the next one sweeps.

mod argv;
mod cli;
mod container;
mod hidden;
mod image;
mod sweep;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use tokio::time::timeout;

pub use argv::{Files, argv};
pub use image::prune;

use self::{cli::Cli, container::Container};
use super::{Eventually, Launched, Runner};
use crate::{
    event::Sink,
    image::Image,
    plan::{BindSource, Plan, Writes},
    process::{Command, Spawner, Stdio, Tail},
};

/// How many of the last lines of the agent and of docker are kept.
const LAST_LINES: usize = 40;
/// How long a container may take to end by itself when nobody is attached to it any more.
const END: Duration = Duration::from_secs(20);

/// dockerd, and what it needs besides the plan.
pub struct Docker<'a> {
    cli: Cli<'a>,
    root: PathBuf,
    image: String,
    agent: PathBuf,
    run_dir: PathBuf,
    volumes: Vec<String>,
    started: bool,
}

/// What a container is made from.
pub struct Parts<'a> {
    /// Starts the command.
    pub spawner: &'a Spawner,
    /// The command.
    pub docker: PathBuf,
    /// dockerd's own directory.
    pub root: PathBuf,
    /// The agent's program.
    pub agent: PathBuf,
    /// The run's directory.
    pub run_dir: PathBuf,
}

impl<'a> Docker<'a> {
    /// Sweeps what dead runs left, and sees to it that docker has the image.
    ///
    /// # Errors
    /// When dockerd refuses.
    pub async fn new(parts: Parts<'a>, image: &Image, sink: &mut dyn Sink) -> Result<Self> {
        let Parts { spawner, docker, root, agent, run_dir } = parts;
        let cli = Cli { spawner, docker };
        let (swept, image) = tokio::join!(sweep::sweep(&cli), image::ensure(&cli, image, sink));
        match swept? {
            0 => {}
            count => tracing::debug!(count, "swept what killed runs had left"),
        }
        Ok(Self { cli, root, image: image?, agent, run_dir, volumes: Vec::new(), started: false })
    }

    fn files(&self) -> Files<'_> {
        Files {
            docker: &self.cli.docker,
            root: &self.root,
            image: &self.image,
            agent: &self.agent,
            run_dir: &self.run_dir,
        }
    }

    async fn start(&mut self, plan: &Plan) -> Result<Launched> {
        for (at, bind) in argv::binds(plan) {
            if let (BindSource::Directory(directory), Writes::Overlaid { hidden }) =
                (&bind.source, &bind.writes)
                && !hidden.is_empty()
            {
                hidden::make(&self.files().hidden(at), directory, hidden)?;
            }
        }
        self.volumes = argv::volumes(plan, self.files());
        self.make_volumes().await?;
        let mut line = argv::container(plan, self.files()).into_iter();
        let command = Command::new(line.next().context("the command line is empty")?).args(line);
        let command = command.stdin(Stdio::Piped).stdout(Stdio::Piped).stderr(Stdio::Piped);
        self.started = true;
        let mut run = self.cli.spawner.spawn(command)?;
        let writer = run.take_stdin().context("docker's stdin was piped above")?;
        let reader = run.take_stdout().context("docker's stdout was piped above")?;
        let stderr =
            Tail::follow(LAST_LINES, run.take_stderr().context("docker's stderr was piped above")?, None);
        let machine = Box::new(Container::new(run, stderr));
        Ok(Launched { reader: Box::pin(reader), writer: Box::pin(writer), machine })
    }

    /// An overlay's two at once: each is a command of its own.
    async fn make_volumes(&self) -> Result<()> {
        let make = async |name: Option<&String>| match name {
            Some(name) => self.cli.run(argv::volume(self.files(), name)).await.map(drop),
            None => Ok(()),
        };
        for pair in self.volumes.chunks(2) {
            tokio::try_join!(make(pair.first()), make(pair.get(1)))?;
        }
        Ok(())
    }

    /// Waits until the container is gone, which by itself it is when its agent has ended, and removes what it wrote.
    async fn remove(&mut self) -> Result<()> {
        if self.started {
            let name = self.files().name();
            // A container that is gone cannot be waited for: then that is the answer.
            match timeout(END, self.cli.ask(&["wait", &name])).await {
                Ok(_) => {}
                Err(_) => tracing::warn!(name, "killed: the container did not end by itself"),
            }
            self.cli.remove(&["rm", "--force", "--volumes"], &[name]).await?;
            self.started = false;
        }
        let volumes = std::mem::take(&mut self.volumes);
        self.cli.remove(&["volume", "rm", "--force"], &volumes).await
    }
}

impl Runner for Docker<'_> {
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> Eventually<'a, Result<Launched>> {
        Box::pin(self.start(plan))
    }

    fn clean(&mut self) -> Eventually<'_, Result<()>> {
        Box::pin(self.remove())
    }
}
