//! `kiln bench build`: what kiln costs beside the tool that it uses, in each backend.

mod container;
mod part;
mod sandbox;
mod steps;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use self::{
    container::Container,
    part::{Part, Side, Workshop},
    sandbox::Sandbox,
    steps::Steps,
};
use super::{
    boot::BUILD_FILE,
    model::{Measured, Scenario, Suite, Variant},
    program::Scratch,
};
use crate::{
    backend::BoxFuture,
    env::Env,
    event::{Event, Sink},
    exit::Failure,
    home::Home,
    plan::AcceleratorOption,
    process::Spawner,
};

const PLAIN: &str = "plain";
const KILN: &str = "kiln";

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BuildScenario {
    /// 100 steps in a microVM, against 100 scripts of one shell in it.
    Steps,
    /// A build of one step in a sandbox, against a bare bwrap.
    Bubblewrap,
    /// A build of one step in a container, against a bare docker run.
    Docker,
}

/// Whether a scenario that cannot be measured here ends the benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All that this host can do.
    Possible,
    /// These, or an error.
    These(Vec<BuildScenario>),
}

/// The benchmark.
pub struct Build<'a> {
    parts: Vec<Box<dyn Part + 'a>>,
    variants: Vec<Variant>,
    scenarios: Vec<Scenario>,
    _scratch: Scratch,
}

impl<'a> Build<'a> {
    /// Prepares what is measured. `directory` is where the benchmark works.
    ///
    /// # Errors
    /// When a scenario that is asked for cannot be measured on this host, or no scenario can.
    pub async fn new(
        (env, home): (&Env, &Home),
        spawner: &'a Spawner,
        directory: &Path,
        (wanted, accelerator): (&Wanted, AcceleratorOption),
        sink: &mut dyn Sink,
    ) -> Result<Self> {
        let scratch = Scratch::new(directory, spawner)?;
        fs::write(scratch.path().join("true.yaml"), BUILD_FILE).context("write the build file")?;
        let mut workshop = Workshop { env, home, spawner, scratch: &scratch, sink };
        let scenarios = match wanted {
            Wanted::Possible => BuildScenario::value_variants(),
            Wanted::These(scenarios) => scenarios,
        };
        let mut parts: Vec<Box<dyn Part + 'a>> = Vec::new();
        for scenario in scenarios {
            match part(*scenario, accelerator, &mut workshop).await {
                Ok(part) => parts.push(part),
                Err(error) if *wanted == Wanted::Possible => {
                    let text = format!("{} is left out: {error:#}", name(*scenario));
                    workshop.sink.emit(Event::Note { text });
                }
                Err(error) => return Err(error.context(format!("measure {}", name(*scenario)))),
            }
        }
        if parts.is_empty() {
            return Err(Failure::host("no backend is usable here", "kiln doctor says what is missing").into());
        }
        let variant =
            |id: &str, title: &str| Variant { id: id.into(), title: title.into(), reference: id == PLAIN };
        let variants = vec![variant(PLAIN, "without kiln"), variant(KILN, "kiln")];
        let scenarios = parts.iter().map(|part| part.scenario()).collect();
        Ok(Self { parts, variants, scenarios, _scratch: scratch })
    }

    /// The ids of what is measured, with commas between them.
    pub fn names(&self) -> String {
        self.scenarios.iter().map(|scenario| scenario.id.as_str()).collect::<Vec<_>>().join(",")
    }

    async fn sample(&mut self, variant: &str, round: u32) -> Result<Vec<Measured>> {
        let side = match variant {
            PLAIN => Side::Plain,
            KILN => Side::Kiln,
            variant => bail!("there is no variant {variant}"),
        };
        let mut measured = Vec::new();
        for part in &mut self.parts {
            let value = part.sample(side, round).await?;
            measured.push(Measured { scenario: part.scenario().id, value });
        }
        Ok(measured)
    }
}

async fn part<'a>(
    scenario: BuildScenario,
    accelerator: AcceleratorOption,
    workshop: &mut Workshop<'a, '_>,
) -> Result<Box<dyn Part + 'a>> {
    Ok(match scenario {
        BuildScenario::Steps => Box::new(Steps::new(workshop, accelerator).await?),
        BuildScenario::Bubblewrap => Box::new(Sandbox::new(workshop).await?),
        BuildScenario::Docker => Box::new(Container::new(workshop).await?),
    })
}

/// The name of a scenario on the command line.
fn name(scenario: BuildScenario) -> &'static str {
    match scenario {
        BuildScenario::Steps => "steps",
        BuildScenario::Bubblewrap => "bubblewrap",
        BuildScenario::Docker => "docker",
    }
}

impl Suite for Build<'_> {
    fn name(&self) -> &'static str {
        "build"
    }

    fn variants(&self) -> &[Variant] {
        &self.variants
    }

    fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    fn facts(&self) -> Vec<(String, String)> {
        self.parts.iter().flat_map(|part| part.facts()).collect()
    }

    fn seconds_per_round(&self) -> f64 {
        self.parts.iter().map(|part| part.seconds()).sum()
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
