use super::*;
use crate::{
    backend::BoxFuture,
    bench::model::{Measured, Scenario, Unit},
};

/// A suite whose samples are the numbers of its visits.
struct Fake {
    variants: Vec<Variant>,
    scenarios: Vec<Scenario>,
    visits: Vec<(String, u32, u64)>,
    fails_at: Option<usize>,
    value: f64,
}

impl Fake {
    fn new() -> Self {
        let variant = |id: &str| Variant { id: id.into(), title: id.into(), reference: id == "a" };
        let scenario = Scenario { id: "x".into(), title: "X".into(), group: "g".into(), unit: Unit::Seconds };
        Self {
            variants: ["a", "b", "c"].map(variant).into(),
            scenarios: vec![scenario],
            visits: Vec::new(),
            fails_at: None,
            value: 1.0,
        }
    }
}

impl Suite for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn variants(&self) -> &[Variant] {
        &self.variants
    }

    fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    fn facts(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn seconds_per_round(&self) -> f64 {
        3.0
    }

    fn visit<'a>(
        &'a mut self,
        variant: &'a str,
        round: u32,
        seed: u64,
    ) -> BoxFuture<'a, Result<Vec<Measured>>> {
        Box::pin(async move {
            ensure!(self.fails_at != Some(self.visits.len()), "no power");
            self.visits.push((variant.into(), round, seed));
            Ok(vec![Measured { scenario: "x".into(), value: self.value * f64::from(round + 1) }])
        })
    }
}

fn options(directory: &Path) -> Options<'_> {
    Options { rounds: 3, seed: Some(11), chosen: Vec::new(), directory }
}

fn run_it(suite: &mut Fake, options: &Options<'_>) -> (Result<Run>, Vec<Progress>) {
    let mut said = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let result = runtime.block_on(run(suite, options, &mut |progress| said.push(progress)));
    (result, said)
}

#[test]
fn each_round_visits_every_variant_in_its_own_order_and_the_warm_up_is_not_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut suite = Fake::new();
    let (result, said) = run_it(&mut suite, &options(directory.path()));
    let result = result.unwrap();
    assert_eq!(suite.visits.len(), 12);
    let mut orders = Vec::new();
    for round in suite.visits.chunks(3) {
        let mut names: Vec<&str> = round.iter().map(|(variant, ..)| variant.as_str()).collect();
        orders.push(names.clone());
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(round.iter().all(|visit| (visit.1, visit.2) == (round[0].1, round[0].2)));
    }
    assert!(orders.iter().any(|order| *order != orders[0]), "{orders:?}");
    assert_eq!(result.samples.len(), 9);
    assert!(result.samples.iter().all(|(_, _, value)| *value > 1.0), "{:?}", result.samples);
    assert_eq!(result.options, [("rounds".to_owned(), "3".to_owned())]);
    assert!(matches!(said[0], Progress::Announced { visits: 12, time, seed: 11 } if time.as_secs() == 12));
    assert_eq!(said.iter().filter(|progress| matches!(progress, Progress::Corrected { .. })).count(), 1);
    result.written().unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_run_that_failed_continues_with_the_same_orders() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut all = Fake::new();
    let expected = run_it(&mut all, &options(whole.path())).0.unwrap().samples;
    let mut first = Fake::new();
    first.fails_at = Some(7);
    let error = run_it(&mut first, &options(broken.path())).0.unwrap_err();
    assert!(format!("{error:#}").contains("in round 2: no power"), "{error:#}");
    let mut second = Fake::new();
    let (result, said) = run_it(&mut second, &options(broken.path()));
    assert_eq!(said[0], Progress::Continued { visits: 7 });
    assert_eq!([first.visits, second.visits].concat(), all.visits);
    assert_eq!(result.unwrap().samples, expected);
}

#[test]
fn a_run_with_other_options_starts_anew() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Fake::new();
    first.fails_at = Some(2);
    run_it(&mut first, &options(directory.path())).0.unwrap_err();
    let mut second = Fake::new();
    let other = Options { rounds: 1, ..options(directory.path()) };
    let (result, said) = run_it(&mut second, &other);
    result.unwrap();
    assert_eq!(said[0], Progress::StartedAnew { why: "another value of rounds: 3, not 1".into() });
    assert_eq!(second.visits.len(), 6);
}

#[test]
fn a_value_that_cannot_be_compared_ends_the_run() {
    for value in [f64::NAN, f64::INFINITY, -1.0] {
        let directory = tempfile::tempdir().unwrap();
        let mut suite = Fake::new();
        suite.value = value;
        let error = run_it(&mut suite, &options(directory.path())).0.unwrap_err();
        assert!(format!("{error:#}").contains("x has the value"), "{error:#}");
    }
}

#[test]
fn the_time_left_is_the_estimate_and_then_what_the_visits_took() {
    let order = [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)];
    let visit = |round, seconds| Visit { round, variant: String::new(), seconds, samples: Vec::new() };
    let left = |done: &[Visit]| time_left(&order, done, 20.0).as_secs_f64();
    assert_eq!(left(&[]), 60.0);
    let mut done = vec![visit(0, 100.0), visit(0, 7.0)];
    assert_eq!(left(&done), 214.0);
    // A counted visit is better than the warm-up.
    done.extend([visit(1, 5.0), visit(1, 2.0)]);
    assert_eq!(left(&done), 7.0);
    done.extend([visit(2, 5.0), visit(2, 2.0)]);
    assert_eq!(left(&done), 0.0);
}
