//! Several builds or tests on one machine: which one needs which, which one may start, and what became of each.
//!
//! ```text
//! definitions --graph--> Graph --schedule--> the next job, as long as there is one --outcome--> Report (text, JSON, JUnit)
//!                          \--> kiln plan --graph (JSON, DOT)          journal: what an interrupted run has finished
//! ```
//!
//! Pure but for the journal. `commands::jobs` starts a kiln of its own for each job, so that a job has its own lease, run directory
//! and reaper.

mod graph;
mod journal;
mod junit;
mod outcome;
mod schedule;

pub(crate) use graph::{Definition, Graph};
pub(crate) use journal::Journal;
pub(crate) use junit::junit;
pub(crate) use outcome::{Job, JobOutcome, Report};
pub(crate) use schedule::{Schedule, State};
