//! The long suites: what has to hold at any moment and in every combination.
//!
//! `cargo test` runs a few cases of each, chosen by a seed that is printed; `cargo soak` runs all of them, and
//! `cargo soak NAME` those of one suite. `KILN_SOAK_SEED` repeats a choice, `KILN_SOAK_COUNT` says how many cases of each.
//!
//! A suite is a file here. It asks [`lot`] which of its cases it runs, works in a [`place`] of its own, and has
//! [`leftovers`] count what is left of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../it/authority.rs"]
mod authority;
mod commit;
mod crowd;
mod differential;
mod docker;
mod ecosystems;
mod family;
mod images;
mod kills;
mod leftovers;
mod lot;
mod ownership;
#[path = "../it/patience.rs"]
mod patience;
mod pipelines;
mod place;
mod powercuts;
#[path = "../it/proxy.rs"]
mod proxy;
mod prunes;
mod sandboxes;
#[path = "../it/skip.rs"]
mod skip;
mod sources;
