//! Where the milliseconds of a build go: from the events of `--progress json`, and the time of the whole process.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bench::{Measured, Scenario, Unit};

/// The phases of a build by the host's clock, as `finished` has them, in their order.
const OF_BUILD: [&str; 8] = ["plan", "wait", "image", "cache", "boot", "steps", "artifacts", "shutdown"];
/// The phases of the guest's start by its own clock, as `boot` has them, in their order.
const OF_GUEST: [&str; 10] = [
    "kernel",
    "clock",
    "modules",
    "devices",
    "mounts",
    "namespaces",
    "network",
    "files",
    "reads",
    "confinement",
];

/// The time of the process that is in no phase: its start, before it has a clock, and its end.
const PROCESS: &str = "process";
/// The time of `boot` that is in no phase of the guest: QEMU's start, its firmware, and the channel to the agent.
const EMULATOR: &str = "emulator";
/// Phases of a later version of kiln.
const OTHER: &str = "other";

const GROUP_OF_BUILD: &str = "Phases of a build, by the host's clock";
const GROUP_OF_GUEST: &str = "Phases of boot, by the guest's clock";

/// The scenarios of all phases.
pub(super) fn scenarios() -> Vec<Scenario> {
    let of_build =
        OF_BUILD.iter().chain([&PROCESS, &OTHER]).map(|name| scenario("build", name, GROUP_OF_BUILD));
    let of_guest = [EMULATOR].iter().chain(&OF_GUEST).chain([&OTHER]);
    of_build.chain(of_guest.map(|name| scenario("guest", name, GROUP_OF_GUEST))).collect()
}

fn scenario(clock: &str, name: &str, group: &str) -> Scenario {
    let title = match name {
        PROCESS => "start and end of kiln's process",
        EMULATOR => "QEMU, firmware and channel",
        name => name,
    };
    Scenario { id: id(clock, name), title: title.into(), group: group.into(), unit: Unit::Seconds }
}

fn id(clock: &str, name: &str) -> String {
    format!("{clock}-{name}")
}

/// The time of each phase. `events` are the lines of `--progress json`, `whole` is the time from fork to exit in seconds.
pub(super) fn measured(events: &str, whole: f64) -> Result<Vec<Measured>> {
    let (mut build, mut guest, mut end) = (None, None, None);
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).with_context(|| format!("read the event {line}"))?;
        match event["event"].as_str() {
            Some("boot") => guest = Some(phases(&event)?),
            Some("finished") => {
                build = Some(phases(&event)?);
                end = event["time_ms"].as_f64();
            }
            _ => {}
        }
    }
    let (build, guest) = build.zip(guest).context("the events have no phases")?;
    let end = end.context("the last event has no time")? / 1e3;
    let in_phases: f64 = build.iter().map(|(_, seconds)| seconds).sum();
    let boot = build.iter().find(|(name, _)| name == "boot").map_or(0.0, |(_, seconds)| *seconds);
    let in_guest: f64 = guest.iter().map(|(_, seconds)| seconds).sum();
    // What follows the last phase, before the last event, belongs to the process as well.
    ensure!(end <= whole, "the events end after their process");
    let mut all = with_rest("build", &OF_BUILD, &build, (PROCESS, whole - in_phases));
    all.extend(with_rest("guest", &OF_GUEST, &guest, (EMULATOR, boot - in_guest)));
    Ok(all)
}

/// The known phases, the sum of the others, and what is in none.
fn with_rest(
    clock: &str,
    known: &[&str],
    phases: &[(String, f64)],
    (rest, seconds): (&str, f64),
) -> Vec<Measured> {
    let sum = |wanted: &dyn Fn(&str) -> bool| {
        phases.iter().filter(|(name, _)| wanted(name)).map(|(_, seconds)| seconds).sum::<f64>()
    };
    // The clocks of host and guest differ by less than a tick of the guest's: a rest below 0 is none.
    let measured = |name: &str, seconds: f64| Measured { scenario: id(clock, name), value: seconds.max(0.0) };
    let each = known.iter().map(|phase| measured(phase, sum(&|name| name == *phase)));
    let other = Some(sum(&|name| !known.contains(&name))).filter(|other| *other > 0.0);
    let other = other.map(|other| measured(OTHER, other));
    each.chain([measured(rest, seconds)]).chain(other).collect()
}

/// The phases of an event: name and seconds.
fn phases(event: &Value) -> Result<Vec<(String, f64)>> {
    let list = event["phases"].as_array().context("an event has no phases")?;
    let phase =
        |phase: &Value| Some((phase["name"].as_str()?.to_owned(), phase["duration_ms"].as_f64()? / 1e3));
    list.iter().map(|one| phase(one).context("a phase has no name or no duration")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = concat!(
        r#"{"event":"boot","phases":[{"name":"kernel","duration_ms":300.0},{"name":"files","duration_ms":50.0},{"name":"new","duration_ms":10.0}],"time_ms":600.0}"#,
        "\n",
        r#"{"event":"finished","phases":[{"name":"plan","duration_ms":100.0},{"name":"boot","duration_ms":500.0},{"name":"steps","duration_ms":20.0}],"time_ms":630.0}"#,
    );

    #[test]
    fn phases_and_rests_add_up_to_the_whole() {
        let all = measured(EVENTS, 0.7).unwrap();
        let value = |id: &str| {
            let found = all.iter().find(|one| one.scenario == id).expect(id);
            (found.value * 1e3).round()
        };
        for (id, milliseconds) in [
            ("build-plan", 100.0),
            ("build-boot", 500.0),
            ("build-steps", 20.0),
            ("build-cache", 0.0),
            ("build-process", 80.0),
            ("guest-kernel", 300.0),
            ("guest-files", 50.0),
            ("guest-other", 10.0),
            ("guest-emulator", 140.0),
        ] {
            assert_eq!(value(id), milliseconds, "{id}");
        }
        let of_build: f64 =
            all.iter().filter(|one| one.scenario.starts_with("build-")).map(|one| one.value).sum();
        assert!((of_build - 0.7).abs() < 1e-9, "{of_build}");
        let known = scenarios();
        assert!(all.iter().all(|one| known.iter().any(|known| known.id == one.scenario)));
        // All phases of this build are known.
        assert!(all.iter().all(|one| one.scenario != "build-other"));
    }

    #[test]
    fn events_without_phases_or_of_another_run_are_errors() {
        assert!(measured("{\"event\":\"plan\"}", 1.0).is_err());
        assert!(measured("text", 1.0).is_err());
        assert!(measured(EVENTS, 0.5).is_err());
    }
}
