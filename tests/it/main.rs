//! Tests with real processes and files, and without a virtual machine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod argv;
mod broken;
mod bubblewrap;
mod cache;
mod cgroup;
mod commit;
mod depth;
mod docker;
mod doctor;
mod early;
mod engine;
mod errors;
mod explain;
mod fit;
mod help;
mod host;
mod injection;
mod making;
mod mavenrc;
mod orphans;
mod pages;
mod patience;
mod plans;
mod process;
mod prune;
mod setup;
mod share;
mod skip;
mod sources;
mod staged;
mod totals;
mod transfer;
mod verify;
mod waits;
