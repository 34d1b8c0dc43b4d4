//! `kiln bench cache`: what the cache costs. Ten new files committed to caches of a thousand to a million files, the start of a build
//! with each, and a merge of many files, each against the same without kiln's cache.
//!
//! The files that are in a cache already are empty: a name and an inode is what a commit could have to look at.

mod content;
mod writes;

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};

use self::{
    content::{Content, Sizes},
    writes::{commit_many, commit_new, removed, write_new},
};
use super::{
    model::{Measured, Scenario, Suite, Unit, Variant},
    program::{Scratch, timed, version},
};
use crate::{
    backend::BoxFuture,
    env::Env,
    host::find_program,
    process::{Command, Spawner},
};

const PLAIN: &str = "plain";
const KILN: &str = "kiln";

/// The scenario of the merge.
const MANY: &str = "many";

pub use self::content::Sizes as CacheSizes;

/// The benchmark.
pub struct Cache<'a> {
    spawner: &'a Spawner,
    content: Arc<Content>,
    /// The version of bwrap, in whose sandboxes builds start; without one no build is started.
    bwrap: Option<String>,
    variants: Vec<Variant>,
    scenarios: Vec<Scenario>,
    scratch: Scratch,
}

impl<'a> Cache<'a> {
    /// Fills the caches below `directory`, which takes a minute for a million files.
    ///
    /// # Errors
    /// When the file system has no room for them.
    pub async fn new(env: &Env, spawner: &'a Spawner, directory: &Path, sizes: Sizes) -> Result<Self> {
        let scratch = Scratch::new(directory, spawner)?;
        let content = Arc::new(Content::fill(scratch.path(), sizes)?);
        for cache in &content.caches {
            // kiln's home of this user knows what they hold, as if builds had filled them.
            let report = Command::new(spawner.program()).args(["cache", "report", "--cache-dir"]);
            timed(spawner, report.arg(&cache.directory)).await?;
        }
        let bwrap = match find_program(env, "bwrap") {
            Some(bwrap) => Some(version(spawner, bwrap).await),
            None => None,
        };
        let variant =
            |id: &str, title: &str| Variant { id: id.into(), title: title.into(), reference: id == PLAIN };
        let variants = vec![variant(PLAIN, "without kiln's cache"), variant(KILN, "kiln's cache")];
        let scenarios = scenarios(&content, bwrap.is_some());
        Ok(Self { spawner, content, bwrap, variants, scenarios, scratch })
    }

    /// What this host lacks for a scenario that is left out; `None` if nothing is.
    pub fn left_out(&self) -> Option<&'static str> {
        self.bwrap.is_none().then_some(
            "the start of a build is left out: bwrap is not installed (apt-get install bubblewrap)",
        )
    }

    async fn sample(&self, variant: &str, round: u32) -> Result<Vec<Measured>> {
        let with_kiln = match variant {
            PLAIN => false,
            KILN => true,
            variant => bail!("there is no variant {variant}"),
        };
        let mut measured = Vec::new();
        for (at, cache) in self.content.caches.iter().enumerate() {
            let add = self.blocking(move |content| match with_kiln {
                true => commit_new(&content.caches[at], round),
                false => write_new(content, round),
            });
            measured.push(Measured { scenario: new_id(cache.files), value: add.await? });
            if self.bwrap.is_some() {
                let directory = with_kiln.then_some(cache.directory.as_path());
                let start = timed(self.spawner, self.build(directory)).await?.seconds;
                measured.push(Measured { scenario: start_id(cache.files), value: start });
            }
        }
        let many = if with_kiln { self.blocking(commit_many).await? } else { self.copy().await? };
        measured.push(Measured { scenario: MANY.into(), value: many });
        Ok(measured)
    }

    /// The files of the merge by `cp -a`, and a flush of their file system.
    async fn copy(&self) -> Result<f64> {
        let copy = self.content.root.join("copy");
        let copying = Command::new("cp").arg("-a").arg(&self.content.source).arg(&copy);
        let flushing = Command::new("sync").arg("--file-system").arg(&copy);
        let seconds =
            timed(self.spawner, copying).await?.seconds + timed(self.spawner, flushing).await?.seconds;
        self.blocking(move |content| removed(&copy, content).map(|()| seconds)).await
    }

    /// Times work in another thread, so that a signal ends the benchmark at once. The work itself says how long it took.
    async fn blocking(&self, work: impl FnOnce(&Content) -> Result<f64> + Send + 'static) -> Result<f64> {
        let content = Arc::clone(&self.content);
        tokio::task::spawn_blocking(move || work(&content)).await.context("work in another thread")?
    }

    /// A build in a sandbox that does nothing, in mode commit; without a directory it has no cache.
    fn build(&self, cache: Option<&Path>) -> Command {
        let build = Command::new(self.spawner.program())
            .args(["build", "--runner", "bubblewrap", "--progress", "quiet", "--network", "off", "true.yaml"])
            .arg("--cache-dir")
            .arg(cache.unwrap_or(Path::new("")))
            .current_dir(self.scratch.path());
        if cache.is_some() { build.args(["--cache-mode", "commit"]) } else { build }
    }
}

fn new_id(files: usize) -> String {
    format!("new-{files}")
}

fn start_id(files: usize) -> String {
    format!("start-{files}")
}

fn scenarios(content: &Content, with_builds: bool) -> Vec<Scenario> {
    let scenario = |id: String, title: String, group: &str| Scenario {
        id,
        title,
        group: group.into(),
        unit: Unit::Seconds,
    };
    let new = content.caches.iter().map(|cache| {
        scenario(
            new_id(cache.files),
            format!("in a cache of {} files", cache.files),
            "Ten new files of 10 kB",
        )
    });
    let starts = content.caches.iter().filter(|_| with_builds).map(|cache| {
        let title = format!("with a cache of {} files", cache.files);
        scenario(start_id(cache.files), title, "A build of `true` in a sandbox")
    });
    let many = format!("{} files of 50 kB", content.sizes.many);
    new.chain(starts).chain([scenario(MANY.into(), many, "A merge / cp -a and sync")]).collect()
}

impl Suite for Cache<'_> {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn variants(&self) -> &[Variant] {
        &self.variants
    }

    fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    fn facts(&self) -> Vec<(String, String)> {
        self.bwrap.iter().map(|version| ("bubblewrap".into(), version.clone())).collect()
    }

    fn seconds_per_round(&self) -> f64 {
        // Some 5,000 files of 50 kB a second on an ordinary disk, by each side.
        1.0 + self.content.sizes.many as f64 / 2500.0
    }

    fn visit<'a>(
        &'a mut self,
        variant: &'a str,
        round: u32,
        _seed: u64,
    ) -> BoxFuture<'a, Result<Vec<Measured>>> {
        Box::pin(self.sample(variant, round))
    }
}
