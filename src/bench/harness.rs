//! Takes the samples of a suite: in each round it visits every variant once, in a random order.
//!
//! What slows the machine down for a while then slows all variants down alike, and no variant always follows the same other one. Round
//! 0 warms caches, makes images, and is not counted. Every sample is kept.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    fingerprint::Fingerprint,
    journal::{Earlier, Header, Journal, Visit},
    model::{Suite, Variant},
    progress::Progress,
    random::Random,
};

/// How a suite is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options<'a> {
    /// How many rounds are counted; one more is the warm-up.
    pub rounds: u32,
    /// The user's seed; without one a fresh one, or that of the run which is continued.
    pub seed: Option<u64>,
    /// What else the user chose, as name and value: part of the result, and a run with others does not continue this one.
    pub chosen: Vec<(String, String)>,
    /// The directory of the journal and of the results. It exists.
    pub directory: &'a Path,
}

/// The samples of a whole run.
#[derive(Debug)]
pub struct Run {
    /// The seed of the orders.
    pub seed: u64,
    /// The options, rounds included.
    pub options: Vec<(String, String)>,
    /// The machine.
    pub fingerprint: Fingerprint,
    /// The id of a scenario, the id of a variant, and a sample, in the order of the visits; the warm-up is left out.
    pub samples: Vec<(String, String, f64)>,
    journal: Journal,
}

impl Run {
    /// The result is written: removes the journal.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn written(self) -> Result<()> {
        self.journal.remove()
    }
}

/// Runs a suite, or what is left of an interrupted run of it.
///
/// # Errors
/// Those of a visit, with the variant's name; and when the journal cannot be written.
pub async fn run(
    suite: &mut dyn Suite,
    options: &Options<'_>,
    show: &mut dyn FnMut(Progress),
) -> Result<Run> {
    let mut fingerprint = Fingerprint::of_machine(options.directory, suite.facts())?;
    let mut chosen = vec![("rounds".to_owned(), options.rounds.to_string())];
    chosen.extend(options.chosen.iter().cloned());
    let seed = options.seed.unwrap_or_else(Random::fresh_seed);
    let header = Header::new(suite.name(), seed, &chosen, &fingerprint.facts);
    let (mut journal, earlier) = Journal::open(options.directory, &header, options.seed.is_none())?;
    let seed = journal.seed;
    let variants = suite.variants().to_vec();
    let order = order(&variants, options.rounds, seed);
    let mut done = match earlier {
        Earlier::None => Vec::new(),
        Earlier::Other(why) => {
            show(Progress::StartedAnew { why });
            Vec::new()
        }
        Earlier::Continued(visits) => matching(visits, &order, suite)?,
    };
    if !done.is_empty() {
        show(Progress::Continued { visits: done.len() });
    }
    let left = |done: &[Visit], suite: &dyn Suite| time_left(&order, done, suite.seconds_per_round());
    show(Progress::Announced { visits: order.len(), time: left(&done, suite), seed });
    for number in done.len()..order.len() {
        let (round, variant) = (order[number].0, &variants[order[number].1]);
        if round == 1 && number == variants.len() {
            show(Progress::Corrected { left: left(&done, suite) });
        }
        let title = variant.title.clone();
        let remaining = left(&done, suite);
        show(Progress::Visit { number: number + 1, of: order.len(), round, variant: title, left: remaining });
        let visit = visit(suite, variant, round, seed).await?;
        journal.add(&visit)?;
        done.push(visit);
    }
    fingerprint.ended();
    let counted = done.into_iter().filter(|visit| visit.round > 0);
    let samples = counted.flat_map(|Visit { variant, samples, .. }| {
        samples.into_iter().map(move |(scenario, value)| (scenario, variant.clone(), value))
    });
    Ok(Run { seed, options: chosen, fingerprint, samples: samples.collect(), journal })
}

/// The visits of all rounds: the round, and the index of the variant.
fn order(variants: &[Variant], rounds: u32, seed: u64) -> Vec<(u32, usize)> {
    let of_round = |round: u32| {
        let mut order: Vec<usize> = (0..variants.len()).collect();
        // A sequence for each round, so that a run which is continued has the same orders.
        Random::new(seed, u64::from(round)).shuffle(&mut order);
        order.into_iter().map(move |variant| (round, variant))
    };
    (0..=rounds).flat_map(of_round).collect()
}

/// The visits of an interrupted run, up to the first one that this run would not have made.
fn matching(visits: Vec<Visit>, order: &[(u32, usize)], suite: &dyn Suite) -> Result<Vec<Visit>> {
    let variants = suite.variants();
    let expected = order.iter().map(|(round, variant)| (*round, variants[*variant].id.as_str()));
    let pairs = visits.into_iter().zip(expected);
    let same = pairs.take_while(|(visit, (round, variant))| {
        visit.round == *round && visit.variant == *variant && check(visit, suite).is_ok()
    });
    Ok(same.map(|(visit, _)| visit).collect())
}

async fn visit(suite: &mut dyn Suite, variant: &Variant, round: u32, seed: u64) -> Result<Visit> {
    let of_round = Random::new(seed, u64::from(round)).next_u64();
    let started = Instant::now();
    let measured = suite.visit(&variant.id, round, of_round).await;
    let measured = measured.with_context(|| format!("measure {} in round {round}", variant.title))?;
    let visit = Visit {
        round,
        variant: variant.id.clone(),
        seconds: started.elapsed().as_secs_f64(),
        samples: measured.into_iter().map(|measured| (measured.scenario, measured.value)).collect(),
    };
    check(&visit, suite).with_context(|| format!("measure {} in round {round}", variant.title))?;
    Ok(visit)
}

/// A value that cannot be compared is a defect of the suite.
fn check(visit: &Visit, suite: &dyn Suite) -> Result<()> {
    for (scenario, value) in &visit.samples {
        let known = suite.scenarios().iter().any(|known| known.id == *scenario);
        ensure!(known, "the benchmark has no scenario {scenario}");
        ensure!(value.is_finite() && *value >= 0.0, "{scenario} has the value {value}");
    }
    ensure!(visit.seconds.is_finite() && visit.seconds >= 0.0, "a visit took {} s", visit.seconds);
    Ok(())
}

/// How long the visits after `done` take: for each variant the mean of its counted visits, else its warm-up, else an equal part of
/// the estimate.
fn time_left(order: &[(u32, usize)], done: &[Visit], seconds_per_round: f64) -> Duration {
    let visited = order.iter().zip(done);
    let variants = order.iter().map(|(_, variant)| variant + 1).max().unwrap_or(1);
    let mean = |variant: usize, is_warm_up: bool| {
        let of_it =
            visited.clone().filter(|((round, index), _)| *index == variant && (*round == 0) == is_warm_up);
        let (sum, count) = of_it.fold((0.0, 0), |(sum, count), (_, visit)| (sum + visit.seconds, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    };
    let of_visit = |variant: usize| {
        mean(variant, false).or_else(|| mean(variant, true)).unwrap_or(seconds_per_round / variants as f64)
    };
    let each: Vec<f64> = (0..variants).map(of_visit).collect();
    let seconds: f64 = order[done.len()..].iter().map(|(_, variant)| each[*variant]).sum();
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
#[path = "harness_tests.rs"]
mod tests;
