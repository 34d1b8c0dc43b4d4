//! Tests with real processes and files, and without a virtual machine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod argv;
mod attributes;
mod broken;
mod bubblewrap;
mod cache;
mod cgroup;
mod checkout;
mod commit;
mod completion;
mod depth;
mod discarded;
mod docker;
mod doctor;
mod early;
mod engine;
mod errors;
mod explain;
mod fetch_limits;
mod fit;
mod git_server;
mod golden_plans;
mod help;
mod host;
mod host_programs;
#[path = "../../src/package/hostile.rs"]
mod hostile;
mod injection;
mod jail;
mod making;
mod mavenrc;
mod orphans;
mod package;
mod pages;
mod patience;
mod plans;
mod process;
mod prune;
#[expect(dead_code, reason = "the tests of sandboxes use the rest")]
#[path = "../sandbox/pty.rs"]
mod pty;
#[expect(dead_code, reason = "the step is for real builds")]
mod rights;
mod scrub;
mod setup;
mod share;
mod skip;
mod sources;
mod staged;
mod totals;
mod transfer;
mod verify;
mod waits;
