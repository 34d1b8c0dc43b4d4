//! One thing that a build costs, which is measured with kiln and without it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    backend::BoxFuture,
    bench::{Scenario, program::Scratch},
    env::Env,
    event::Sink,
    home::Home,
    image::{Image, Store},
    process::{Command, Spawner},
};

/// The root of a build file that names none.
const ROOT: &str = "debian:bookworm";

/// With or without kiln.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The same work by the tool that kiln uses.
    Plain,
    /// By kiln.
    Kiln,
}

/// A part of the benchmark.
pub(super) trait Part {
    /// Its scenario, the only one of its group: times of different parts have nothing in common.
    fn scenario(&self) -> Scenario;

    /// Versions of what it uses.
    fn facts(&self) -> Vec<(String, String)>;

    /// How many seconds a sample of each side takes together.
    fn seconds(&self) -> f64;

    /// Takes a sample, in seconds.
    fn sample(&mut self, side: Side, round: u32) -> BoxFuture<'_, Result<f64>>;
}

/// What a part is prepared with.
pub(super) struct Workshop<'a, 'b> {
    pub(super) env: &'b Env,
    pub(super) home: &'b Home,
    pub(super) spawner: &'a Spawner,
    /// Where files of the benchmark lie.
    pub(super) scratch: &'b Scratch,
    /// What is made for the first time says so.
    pub(super) sink: &'b mut dyn Sink,
}

/// A build of the one-step file, as a user has it: with network, source and cache.
pub(super) fn kiln_build(spawner: &Spawner, directory: &Path, runner: &str) -> Command {
    Command::new(spawner.program())
        .args(["build", "--runner", runner, "--progress", "quiet", "true.yaml"])
        .current_dir(directory)
}

/// The image of builds that name none, which a build has made.
pub(super) fn root_image(store: &Store) -> Result<Image> {
    let images = store.list()?;
    let root = images.into_iter().find(|image| image.record.recipe.to_string() == ROOT);
    root.with_context(|| format!("the store has no image of {ROOT} after a build"))
}
