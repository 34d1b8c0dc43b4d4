//! The `docker` command: asked for one thing at a time, its errors told as they are.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;

use crate::{
    exit::Failure,
    process::{Begun, Command, Spawner},
};

/// Nothing that is asked here takes a daemon long; one that is busy removes containers one by one.
const ANSWER: Duration = Duration::from_secs(60);

/// The command and who starts it.
#[derive(Debug, Clone)]
pub(super) struct Cli<'a> {
    pub(super) spawner: &'a Spawner,
    pub(super) docker: PathBuf,
}

/// A question whose answer is taken later.
#[derive(Debug)]
pub(super) struct Asked {
    said: String,
    begun: Begun,
}

impl Asked {
    /// What docker prints.
    pub(super) async fn answer(self) -> Result<String> {
        let Self { said, begun } = self;
        let output = begun.finish(ANSWER).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(Failure::host(format!("{said}: {}", why.trim()), "kiln doctor looks at the daemon").into())
    }
}

impl Cli<'_> {
    /// Asks, without waiting for the answer.
    pub(super) fn begin(&self, arguments: &[&str]) -> Result<Asked> {
        let said = format!("docker {}", arguments.join(" "));
        let begun = self.spawner.begin(Command::new(&self.docker).args(arguments))?;
        Ok(Asked { said, begun })
    }

    /// What it prints.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.begin(arguments)?.answer().await
    }

    /// Removes things, together; those that are gone already are no error.
    pub(super) async fn remove(&self, command: &[&str], names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let all: Vec<&str> = command.iter().copied().chain(names.iter().map(String::as_str)).collect();
        match self.ask(&all).await {
            Err(error) if !is_gone(&format!("{error:#}")) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Whether each line of docker's complaint says that a thing is not there, or that somebody else removes it.
fn is_gone(complaint: &str) -> bool {
    let gone = ["no such", "already in progress", "not found"];
    let mut errors = complaint.lines().filter(|line| line.to_lowercase().contains("error")).peekable();
    errors.peek().is_some() && errors.all(|line| gone.iter().any(|word| line.to_lowercase().contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_that_is_gone_is_no_error_and_any_other_is() {
        assert!(is_gone("docker rm x: Error response from daemon: No such container: x"));
        assert!(is_gone("Error response from daemon: removal of container x is already in progress"));
        let in_use = "Error response from daemon: remove x: volume is in use";
        assert!(!is_gone(in_use));
        assert!(!is_gone(&format!("Error response from daemon: get y: no such volume\n{in_use}")));
        assert!(!is_gone("Cannot connect to the Docker daemon"));
    }
}
