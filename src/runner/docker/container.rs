//! A running container, seen as the `docker run` that is attached to it.

use anyhow::Result;

use crate::{
    process::{Child, ExitStatus, Tail},
    runner::{Ended, Eventually, Machine},
};

/// What `docker run` exits with when it could not start the container at all.
const NOT_STARTED: i32 = 125;

/// Dropped, the command is killed: dockerd then closes the agent's stdin, on which the agent ends, and the container with it.
pub(super) struct Container {
    run: Child,
    stderr: Tail,
}

impl Container {
    pub(super) fn new(run: Child, stderr: Tail) -> Self {
        Self { run, stderr }
    }

    async fn end(&mut self) -> Ended {
        let status = self.run.wait().await;
        // A reader that panicked has kept what it had read.
        let last_words = self.stderr.last_lines().await.unwrap_or_else(|_| self.stderr.lines());
        let (how, orderly) = how(status);
        Ended { part: "docker".into(), how, orderly, last_words }
    }
}

fn how(status: Result<ExitStatus>) -> (String, bool) {
    match status {
        Ok(ExitStatus::Code(NOT_STARTED)) => ("could not start the container".into(), false),
        Ok(status) => (format!("ended ({status})"), status.success()),
        Err(error) => (format!("cannot be waited for: {error:#}"), false),
    }
}

impl Machine for Container {
    fn ended(&mut self) -> Eventually<'_, Ended> {
        Box::pin(self.end())
    }

    fn kill(&mut self) {
        self.run.kill();
    }

    fn last_words(&self) -> Vec<String> {
        self.stderr.lines()
    }
}
