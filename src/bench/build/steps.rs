//! The cost of a step: 100 steps of a build, against 100 scripts that one shell runs one after the other in the same guest.

use std::{fmt::Write, fs, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::part::{Part, Side, Workshop};
use crate::{
    backend::BoxFuture,
    bench::{Scenario, Unit, machine::Machine, program::timed},
    plan::{Accelerator, AcceleratorOption},
    process::{Command, Spawner},
};

const STEPS: usize = 100;

/// The seconds of both sides in one build.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Times {
    plain: f64,
    kiln: f64,
}

/// The part. One build has both sides, so that both see the same guest on the same machine at the same time: the build runs when
/// the first side of a round is asked for.
pub(super) struct Steps<'a> {
    spawner: &'a Spawner,
    machine: Machine,
    directory: PathBuf,
    measured: Option<(u32, Times)>,
}

impl<'a> Steps<'a> {
    pub(super) async fn new(workshop: &mut Workshop<'a, '_>, accelerator: AcceleratorOption) -> Result<Self> {
        let Workshop { env, home, spawner, scratch, sink: _ } = workshop;
        let machine = Machine::find(env, home, spawner, accelerator).await?;
        let directory = scratch.path().to_owned();
        fs::write(directory.join("steps.yaml"), build_file()?).context("write the build file")?;
        Ok(Self { spawner, machine, directory, measured: None })
    }

    async fn times(&mut self, round: u32) -> Result<Times> {
        if let Some((of, times)) = self.measured
            && of == round
        {
            return Ok(times);
        }
        let command = Command::new(self.spawner.program())
            .args(["build", "--accel", &self.machine.accelerator.to_string(), "--progress", "json"])
            .args(["--cache-dir", "", "--network", "off", "steps.yaml"])
            .current_dir(&self.directory);
        let times = times(&timed(self.spawner, command).await?.stdout)?;
        self.measured = Some((round, times));
        Ok(times)
    }
}

fn build_file() -> Result<String> {
    let mut text = "package:\n  name: steps\n  version: \"1\"\n  epoch: 0\npipeline:\n".to_owned();
    for _ in 0..STEPS {
        text.push_str("  - runs: \"true\"\n");
    }
    // What a step does around its own lines.
    let script = "set -eo pipefail\n      cd /home/build\n      true\n      exit 0";
    write!(
        text,
        "  - name: one shell\n    runs: |\n      script='{script}'\n      for n in $(seq {STEPS}); do /bin/bash -c \"$script\"; done\n"
    )?;
    Ok(text)
}

/// From the start of the first step to the end of the last one, and the time of the step with the shell.
fn times(events: &str) -> Result<Times> {
    let lines = events
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("read the event {line}")));
    let events: Vec<Value> = lines.collect::<Result<_>>()?;
    let time = |event: &str, index: usize| {
        let found = events.iter().find(|one| one["event"] == event && one["step"]["index"] == index);
        let time = found.and_then(|one| one["time_ms"].as_f64());
        time.map(|milliseconds| milliseconds / 1e3).with_context(|| format!("step {index} has no {event}"))
    };
    Ok(Times {
        kiln: time("step_finished", STEPS - 1)? - time("step_started", 0)?,
        plain: time("step_finished", STEPS)? - time("step_started", STEPS)?,
    })
}

impl Part for Steps<'_> {
    fn scenario(&self) -> Scenario {
        Scenario {
            id: "steps".into(),
            title: format!("{STEPS} steps / one shell's scripts"),
            group: "Steps in a microVM".into(),
            unit: Unit::Seconds,
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        self.machine.facts()
    }

    fn seconds(&self) -> f64 {
        match self.machine.accelerator {
            Accelerator::Kvm => 2.0,
            Accelerator::Tcg => 12.0,
        }
    }

    fn sample(&mut self, side: Side, round: u32) -> BoxFuture<'_, Result<f64>> {
        Box::pin(async move {
            let times = self.times(round).await?;
            Ok(match side {
                Side::Plain => times.plain,
                Side::Kiln => times.kiln,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_read_from_the_events() {
        let event = |name: &str, index: usize, time: f64| {
            format!("{{\"event\":\"{name}\",\"step\":{{\"index\":{index}}},\"time_ms\":{time}}}\n")
        };
        let events = event("step_started", 0, 1000.0)
            + &event("step_finished", 0, 1100.0)
            + &event("step_finished", STEPS - 1, 5000.0)
            + &event("step_started", STEPS, 5100.0)
            + &event("step_finished", STEPS, 8100.0);
        assert_eq!(times(&events).unwrap(), Times { plain: 3.0, kiln: 4.0 });
        let error = times(&event("step_started", 0, 1.0)).unwrap_err();
        assert_eq!(error.to_string(), "step 99 has no step_finished");
    }

    #[test]
    fn the_build_file_has_the_steps_and_the_shell() {
        let file = build_file().unwrap();
        assert_eq!(file.matches("- runs: \"true\"").count(), STEPS);
        assert_eq!(file.matches("      cd /home/build\n").count(), 1);
    }
}
