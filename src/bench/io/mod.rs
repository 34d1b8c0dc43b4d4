//! `kiln bench io`: shares of a directory compared, on the user's own machine.
//!
//! ```text
//! variants (ways to have a directory) x scenarios (fio sections, passes over files, a source tree)
//!     -> a visit: a fresh guest with a fresh cache, all scenarios once in a shuffled order -> markers with the host's time -> values
//! ```
//!
//! Each variant has the same state of caches: the guest's page cache has nothing of a file that is read, the host's has it. So the
//! share is measured and not the disk. The host itself, the reference, runs the same programs in a sandbox on the host's own file
//! system, where only one page cache is there, which has the file.

mod available;
mod estimate;
mod facts;
mod fio;
mod guest;
mod inputs;
mod prepare;
mod record;
mod scenarios;
mod selection;
mod variants;

use std::path::Path;

use anyhow::{Context, Result};

pub(crate) use self::{
    available::{Available, available},
    guest::{Guests, Online},
    scenarios::{Scale, matching, scenarios},
    selection::{Selection, packages},
};
use self::{
    estimate::Speed,
    fio::{Job, PageCache, job_file},
    guest::Directories,
    inputs::{DRIVE, Inputs},
    prepare::{Prepared, prepare},
    record::Record,
    scenarios::{IoScenario, Work},
    variants::{HOST, Share, columns},
};
use super::{Measured, Random, Scenario, Suite, Variant};
use crate::{backend::BoxFuture, plan::Network};

/// The benchmark, ready for its first visit.
pub(crate) struct IoSuite<'a> {
    guests: Guests<'a>,
    selection: Selection,
    inputs: Inputs,
    variants: Vec<Variant>,
    rows: Vec<Scenario>,
    facts: Vec<(String, String)>,
    speed: Speed,
    /// What could not be measured, and why: a line for each.
    gaps: Vec<String>,
}

impl<'a> IoSuite<'a> {
    /// Makes the inputs in a first guest, which also shows how fast this machine is. The image is there.
    ///
    /// # Errors
    /// When that guest fails, or a directory below `out_dir` cannot be made.
    pub(crate) async fn prepare(
        guests: Guests<'a>,
        mut selection: Selection,
        out_dir: &Path,
    ) -> Result<Self> {
        let inputs = Inputs::create(out_dir, guests.spawner)?;
        let Prepared { speed, facts, gaps } = prepare(&guests, &mut selection, &inputs).await?;
        let variants = columns(&selection.shares);
        let rows = selection.scenarios.iter().map(|one| one.row.clone()).collect();
        Ok(Self { guests, selection, inputs, variants, rows, facts, speed, gaps })
    }

    /// What could not be measured since the last call, and why.
    pub(crate) fn take_gaps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.gaps)
    }

    async fn measure(&mut self, id: &str, seed: u64) -> Result<Vec<Measured>> {
        let share = self.selection.shares.iter().find(|share| share.id == id);
        let share = share.with_context(|| format!("there is no share {id}"))?.clone();
        self.write_work(&share, seed)?;
        let (tools, cache) = (self.inputs.tools(), self.inputs.cache()?);
        cache.fill(&tools, self.guests.spawner).await?;
        let mut record = Record::of(self.rows.iter().map(|row| row.id.clone()));
        let directories = Directories { tools: &tools, cache: &cache.path, network: Network::Off };
        let script = format!("/home/build/{DRIVE}");
        self.guests.run(&share, directories, &["bash", &script, share.directory()], &mut record).await?;
        Ok(self.values(&share, &record))
    }

    /// Writes the order of the work, which is the same for all shares of a round.
    fn write_work(&self, share: &Share, seed: u64) -> Result<()> {
        let mut random = Random::new(seed, 0);
        let scenarios = &self.selection.scenarios;
        let mut jobs: Vec<&Job> = scenarios.iter().filter_map(IoScenario::job).collect();
        random.shuffle(&mut jobs);
        let mut units = scenarios::units(scenarios, self.selection.scale);
        random.shuffle(&mut units);
        let cache = if share.id == HOST { PageCache::Host } else { PageCache::Guest };
        // fio takes no number of 64 bits here.
        self.inputs.write("jobs.fio", &job_file(&jobs, share.directory(), cache, seed >> 33))?;
        self.inputs.write("units", &units.concat())
    }

    /// The values of a visit. A share that cannot do a piece of work has no value for it, and the others are compared.
    fn values(&mut self, share: &Share, record: &Record) -> Vec<Measured> {
        let mut values = Vec::new();
        for one in &self.selection.scenarios {
            let name = &one.row.id;
            let elapsed = match &one.work {
                Work::Fio(job) => record.elapsed_of_job(name, job.total_kib),
                Work::Files | Work::Tree | Work::Package => record.elapsed(name),
            };
            match elapsed {
                Ok(elapsed) => values.push(Measured {
                    scenario: name.clone(),
                    value: one.value(elapsed, self.selection.scale),
                }),
                Err(why) => {
                    let gap = format!("{}: no value for {name}: {why}", share.title);
                    tracing::info!(last = %record.last_lines(), "{gap}");
                    if !self.gaps.contains(&gap) {
                        self.gaps.push(gap);
                    }
                }
            }
        }
        values
    }
}

impl Suite for IoSuite<'_> {
    fn name(&self) -> &'static str {
        "io"
    }

    fn variants(&self) -> &[Variant] {
        &self.variants
    }

    fn scenarios(&self) -> &[Scenario] {
        &self.rows
    }

    fn facts(&self) -> Vec<(String, String)> {
        self.facts.clone()
    }

    fn seconds_per_round(&self) -> f64 {
        self.speed.seconds_per_round(&self.selection)
    }

    fn visit<'v>(
        &'v mut self,
        variant: &'v str,
        _round: u32,
        seed: u64,
    ) -> BoxFuture<'v, Result<Vec<Measured>>> {
        Box::pin(self.measure(variant, seed))
    }
}
