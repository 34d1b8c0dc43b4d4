//! The long suites: properties that hold at any moment and in every combination.
//!
//! `cargo test` runs a few cases of each, chosen by a seed that is printed; `cargo soak` runs all of them, and
//! `cargo soak NAME` those of one suite. `KILN_SOAK_SEED` repeats a choice, `KILN_SOAK_COUNT` says how many cases of each.
//!
//! A suite is a file here. It asks [`sampling`] which of its cases it runs, works in a [`place`] of its own, and has
//! [`leftovers`] count the processes and files that remain.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../it/authority.rs"]
mod authority;
mod commit;
mod concurrency;
mod definitions;
mod differential;
mod docker;
mod ecosystems;
mod image_bases;
mod images;
mod indexes;
mod kills;
mod leftovers;
mod ownership;
mod pipelines;
mod place;
mod powercuts;
mod process_tree;
#[path = "../it/proxy.rs"]
mod proxy;
mod prunes;
mod sampling;
mod sandboxes;
mod shares;
#[path = "../it/skip.rs"]
mod skip;
mod sources;
#[path = "../it/wait_until.rs"]
mod wait_until;
