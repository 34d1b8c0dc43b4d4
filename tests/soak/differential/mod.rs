//! Three backends, one meaning: the same build file gives the same result in a microVM (its cache by 9p or by virtiofs),
//! in a container and in a sandbox. Each file of `cases/` is built in all of them; exit code, events, output by step and
//! stream, the trees of the packages and the cache afterwards must be equal, and the exit code the one that the case names.

pub(crate) mod backend;
mod case;
mod outcome;
mod tree;

use std::{fmt::Write, fs, path::Path, thread};

use self::{backend::Backend, case::Case, outcome::Outcome};
use crate::sampling::{Sampler, named, takes_all};

/// So many cases are drawn where not all are run, and each is built in one microVM, its share drawn, instead of two.
const FEW: usize = 8;

#[test]
fn every_backend_gives_the_same() {
    let (mut sampler, cases) = Sampler::of("differential", cases(), FEW);
    let backends = backend::usable(&sampler);
    assert!(!cases.is_empty() && !backends.is_empty(), "nothing to compare");
    let mut differences = String::new();
    for case in &cases {
        let mut chosen = if takes_all() { backends.clone() } else { with_one_share(&backends, &mut sampler) };
        chosen.retain(|backend| !case.without.contains(&format!("{backend:?}")));
        let found = compare(case, &chosen);
        let verdict = if found.is_empty() { "same" } else { "DIFFERS" };
        sampler.say(&format!("{}: {verdict} in {chosen:?}", case.name));
        found.lines().for_each(|line| sampler.say(line));
        differences += &found;
    }
    sampler.say(&format!("{} cases in {} backends", cases.len(), backends.len()));
    assert!(differences.is_empty(), "{differences}");
}

/// All backends, but only one of a microVM's shares.
fn with_one_share(backends: &[Backend], sampler: &mut Sampler) -> Vec<Backend> {
    let shares = [Backend::Cold, Backend::NineP, Backend::Virtiofs, Backend::Embedded, Backend::Source];
    let chosen: Vec<Backend> = shares.into_iter().filter(|share| backends.contains(share)).collect();
    if chosen.len() < 2 {
        return backends.to_vec();
    }
    let one = chosen[usize::try_from(sampler.below(chosen.len() as u64)).unwrap()];
    backends.iter().copied().filter(|backend| !shares.contains(backend) || *backend == one).collect()
}

/// The corpus; `KILN_CASES=a,b` names some of it.
fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/soak/differential/cases");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    named("KILN_CASES", paths.iter().map(|path| Case::load(path)).collect(), |case| case.name.clone())
}

/// Builds one case everywhere at once; what is wrong, as text.
fn compare(case: &Case, backends: &[Backend]) -> String {
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let running: Vec<_> =
            backends.iter().map(|backend| scope.spawn(|| outcome::of(case, *backend))).collect();
        running.into_iter().map(|thread| thread.join().expect("a build panicked")).collect()
    });
    let mut text = String::new();
    for (backend, outcome) in backends.iter().zip(&outcomes) {
        if outcome.exit != Some(case.exit) {
            writeln!(
                text,
                "{} in {backend:?} exited with {:?}, not {}:\n{}",
                case.name, outcome.exit, case.exit, outcome.log
            )
            .unwrap();
        }
    }
    let Some((first, rest)) = outcomes.split_first() else { return text };
    for (backend, outcome) in backends[1..].iter().zip(rest) {
        let found = first.differences(outcome);
        if !found.is_empty() {
            writeln!(text, "{}: {:?} (-) and {backend:?} (+) differ:\n{found}", case.name, backends[0])
                .unwrap();
        }
    }
    text
}
