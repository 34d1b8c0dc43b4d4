//! What the harness says while it runs: values, which the caller shows.

use std::{fmt, time::Duration};

/// A message of the harness.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Before the first visit.
    Announced {
        /// How many visits there are in all, the warm-up included.
        visits: usize,
        /// How long those to come will take.
        time: Duration,
        /// The seed that repeats the order.
        seed: u64,
    },
    /// The samples of an interrupted run are there, and the run continues.
    Continued {
        /// How many visits need not be repeated.
        visits: usize,
    },
    /// There are samples of an interrupted run, and this run cannot continue it.
    StartedAnew {
        /// The difference between the two.
        why: String,
    },
    /// The warm-up has shown how long the rest takes.
    Corrected {
        /// How long the visits to come will take.
        left: Duration,
    },
    /// A visit starts.
    Visit {
        /// Its number, from 1.
        number: usize,
        /// How many there are in all.
        of: usize,
        /// Its round; 0 is the warm-up.
        round: u32,
        /// The title of its variant.
        variant: String,
        /// How long it and the following visits will take.
        left: Duration,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announced { visits, time, seed } => {
                write!(f, "{visits} visits, about {}; seed {seed}", duration(*time))
            }
            Self::Continued { visits } => {
                write!(f, "continues an interrupted run: {visits} visits are done")
            }
            Self::StartedAnew { why } => {
                write!(f, "starts anew: the interrupted run in this directory has {why}")
            }
            Self::Corrected { left } => {
                write!(f, "the warm-up is done: about {} from here", duration(*left))
            }
            Self::Visit { number, of, round: 0, variant, left } => {
                write!(f, "{number}/{of} warm-up, {variant}; {} left", duration(*left))
            }
            Self::Visit { number, of, round, variant, left } => {
                write!(f, "{number}/{of} round {round}, {variant}; {} left", duration(*left))
            }
        }
    }
}

/// A time for people: `45 s`, `3 min`, `1 h 20 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    let minutes = (seconds + 30) / 60;
    match (seconds, minutes / 60) {
        (0..=89, _) => format!("{} s", seconds.max(1)),
        (_, 0) => format!("{minutes} min"),
        (_, hours) => format!("{hours} h {} min", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_an_estimate_is() {
        for (seconds, text) in
            [(0.2, "1 s"), (89.4, "89 s"), (90.0, "2 min"), (3569.0, "59 min"), (4800.0, "1 h 20 min")]
        {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }
}
