//! A running container: the `docker run` that is attached to it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use kiln_protocol::Reads;
use tokio::sync::Mutex;

use super::{
    api::Api,
    reads::{CountedDirectory, ReadCounter},
};
use crate::{
    backend::{BoxFuture, Ended, Machine},
    process::{Child, ExitStatus, Tail},
};

/// The exit status of `docker run` if it could not start the container.
const NOT_STARTED: i32 = 125;

/// The error if kiln may not read which mount namespace is the daemon's.
const ANOTHER_NAMESPACE: &str = "could not start the container: the daemon is in another mount namespace than kiln; run kiln as \
root, or use --cache-mode discard or commit";

/// The attached command. It exits after the removal of the container, so it is not killed with the session: when the channel
/// closes, the agent exits, and the container with it. [`Docker::clean`](super::Docker) waits for this.
pub(super) type Attached = Arc<Mutex<Child>>;

/// The part of the container that the session holds.
pub(super) struct Container {
    pub(super) run: Attached,
    pub(super) stderr: Tail,
    pub(super) api: Api,
    pub(super) name: String,
    /// dockerd's own directory.
    pub(super) root: PathBuf,
    pub(super) counted: CountedDirectory,
    pub(super) counter: Option<ReadCounter>,
}

impl Container {
    async fn end(&mut self) -> Ended {
        let status = self.run.lock().await.wait().await;
        // If the reader panicked, the lines that it had read are used.
        let last_words = self.stderr.last_lines().await.unwrap_or_else(|_| self.stderr.lines());
        let (how, orderly) = how(status, &last_words);
        Ended { part: "docker".into(), how, orderly, last_words, way_out: None }
    }
}

fn how(status: Result<ExitStatus>, stderr: &[String]) -> (String, bool) {
    match status {
        Ok(ExitStatus::Code(NOT_STARTED)) if stderr.iter().any(|line| is_of_another_namespace(line)) => {
            (ANOTHER_NAMESPACE.into(), false)
        }
        Ok(ExitStatus::Code(NOT_STARTED)) => ("could not start the container".into(), false),
        Ok(status) => (format!("ended ({status})"), status.success()),
        Err(error) => (format!("cannot be waited for: {error:#}"), false),
    }
}

/// Whether dockerd could not mount a directory that kiln has opened: mount(2) refuses one of another mount namespace.
fn is_of_another_namespace(line: &str) -> bool {
    line.contains(&format!("mount /proc/{}/fd/", std::process::id())) && line.contains("invalid argument")
}

impl Machine for Container {
    fn ended(&mut self) -> BoxFuture<'_, Ended> {
        Box::pin(self.end())
    }

    /// Does nothing: the caller drops the channel next, which ends the container.
    fn kill(&mut self) {}

    /// [`Docker::clean`](super::Docker) waits for the container.
    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn last_words(&self) -> Vec<String> {
        self.stderr.lines()
    }

    fn scratch(&self) -> Option<&Path> {
        Some(&self.root)
    }

    fn listen(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.counter = Some(ReadCounter::begin(&self.api, &self.name, &self.counted).await);
        })
    }

    fn reads(&mut self) -> BoxFuture<'_, Option<Reads>> {
        let counter = self.counter.take();
        Box::pin(async {
            match counter {
                Some(counter) => Some(counter.end().await),
                None => None,
            }
        })
    }
}
