//! Tests with real processes and files, and without a virtual machine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apk_roots;
mod argv;
mod attributes;
mod bench;
mod bench_page;
mod bubblewrap;
mod cache;
mod cgroup;
mod checkout;
mod commit;
mod completion;
mod discarded;
mod docker;
mod doctor;
mod ecosystem;
mod engine;
mod errors;
mod explain;
mod export;
mod fetch_limits;
mod git_server;
mod golden_plans;
mod help;
mod host;
mod host_programs;
#[path = "../../src/package/hostile.rs"]
mod hostile;
mod image_builder;
mod jail;
mod lease_wait;
mod linked;
mod mavenrc;
mod options;
mod package;
mod plans;
mod preflight;
mod process;
mod prune;
#[expect(dead_code, reason = "the tests of sandboxes use the rest")]
#[path = "../sandbox/pty.rs"]
mod pty;
mod reaper;
mod repository;
#[expect(dead_code, reason = "the step is for real builds")]
mod rights;
mod scrub;
mod setup;
mod share;
mod shell_injection;
mod skip;
mod sources;
mod stage;
mod stage_limit;
mod stuck_commits;
mod usage_delta;
mod verify;
mod wait_until;
