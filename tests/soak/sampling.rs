//! The cases of a suite that run: all of them with `cargo soak`, else a few, drawn by a seed that is printed.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    io::Write,
    ops::Range,
    time::Duration,
};

/// Set to 1 by `cargo soak`: every case runs.
const ALL: &str = "KILN_SOAK";
/// How many cases of each suite run.
const COUNT: &str = "KILN_SOAK_COUNT";
/// The seed of all choices.
const SEED: &str = "KILN_SOAK_SEED";

/// Draws numbers by a seed (SplitMix64).
pub(crate) struct Sampler {
    suite: &'static str,
    state: u64,
}

impl Sampler {
    /// The one of a suite, and its cases: all of them in the soak, else `few`, drawn and printed.
    pub(crate) fn of<T>(suite: &'static str, cases: Vec<T>, few: usize) -> (Self, Vec<T>) {
        Self::choosing(suite, cases, |drawn| drawn.into_iter().take(few).collect())
    }

    /// As [`Self::of`]; the few are chosen of the cases in the order in which they were drawn.
    pub(crate) fn choosing<T>(
        suite: &'static str,
        mut cases: Vec<T>,
        few: impl FnOnce(Vec<T>) -> Vec<T>,
    ) -> (Self, Vec<T>) {
        let seed =
            number(SEED).unwrap_or_else(|| RandomState::new().hash_one("a number like no other") >> 40);
        let whole = cases.len();
        let mut sampler = Self { suite, state: seed };
        for at in (1..whole).rev() {
            cases.swap(at, usize::try_from(sampler.below(at as u64 + 1)).unwrap());
        }
        let (cases, again) = match number(COUNT) {
            Some(count) => {
                cases.truncate(usize::try_from(count).unwrap());
                (cases, format!(" {COUNT}={count}"))
            }
            None if takes_all() => (cases, format!(" {ALL}=1")),
            None => (few(cases), String::new()),
        };
        sampler.say(&format!("{} of {whole} cases; {SEED}={seed}{again} repeats them", cases.len()));
        (sampler, cases)
    }

    /// A line that is seen, whether the test passes or not.
    pub(crate) fn say(&self, line: &str) {
        // Not by a macro: what those print is shown of failed tests alone.
        let line = format!("soak {}: {line}\n", self.suite);
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A moment in a span of time.
    pub(crate) fn moment(&mut self, Range { start, end }: Range<Duration>) -> Duration {
        start + Duration::from_micros(self.below((end - start).as_micros() as u64 + 1))
    }
}

/// Whether this is the soak.
pub(crate) fn takes_all() -> bool {
    env::var_os(ALL).is_some_and(|value| value == "1")
}

/// The cases that `variable` names, in upper or lower case and with commas between them, or all of them; panics for an unknown name.
pub(crate) fn named<T>(variable: &str, mut all: Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
    let Some(list) = env::var(variable).ok().filter(|list| !list.is_empty()) else { return all };
    let words: Vec<&str> = list.split(',').map(str::trim).collect();
    let known: Vec<String> = all.iter().map(&name).collect();
    if let Some(unknown) = words.iter().find(|word| !known.iter().any(|name| name.eq_ignore_ascii_case(word)))
    {
        panic!("{variable}: {unknown:?} is none of {}", known.join(", "));
    }
    all.retain(|one| words.iter().any(|word| name(one).eq_ignore_ascii_case(word)));
    all
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
