//! Benchmarks: things that do the same work, measured side by side on one machine in one run.
//!
//! Before it: a [`Suite`] knows how to take a sample. After it: `commands` prints the [table](fn@table), and writes the JSON
//! [`Document`] and the [page](fn@page). The [harness](run) decides the order of the visits and keeps their samples; it does not know
//! what is measured, and prints nothing.

mod boot;
mod build;
mod cache;
mod columns;
mod compare;
mod comparison_table;
mod document;
mod fingerprint;
#[cfg(test)]
mod fixture;
mod harness;
pub(crate) mod io;
mod journal;
mod machine;
mod model;
mod page;
mod program;
mod progress;
mod random;
mod statistics;
mod table;

pub use boot::{Boot, BootOptions};
pub use build::{Build, BuildScenario, Wanted};
pub use cache::{Cache, CacheSizes};
pub use compare::{Change, Comparison, Finding};
pub use comparison_table::comparison_table;
pub use document::{Document, MOST_BYTES, Row, SCHEMA};
pub use fingerprint::{Fingerprint, LoadAverage};
pub use harness::{Options, Run, run};
pub use machine::Machine;
pub use model::{Better, Measured, Scenario, Suite, Unit, Variant};
pub use page::page;
pub use program::{Scratch, Timed, timed, version};
pub use progress::{Progress, duration};
pub use random::Random;
pub use statistics::{FEWEST_SAMPLES, Interval, Quartiles, median, quartiles, ratio_interval};
pub use table::table;
