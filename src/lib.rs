//! kiln builds packages from melange-compatible YAML, each build in a microVM, a container or a sandbox of its own.
//!
//! ```text
//! YAML --parse--> Manifest --compile--> Recipe --resolve(+Host)--> Plan --launch--> Launched --steps--> packages, cache
//!                                                |                |                    |
//!                                          image store      cache, shares        engine <-> agent
//!          every stage emits Event --> report (terminal, plain, JSON)
//! ```
//!
//! * A `Manifest` is the YAML exactly as written; a `Recipe` is compiled, all variables substituted, for one architecture;
//!   a `Plan` is the recipe on this host. None of the three holds a pid, socket, descriptor or key.
//! * A runner launches the agent (`guest-init`) and gives a byte channel to it, over which `engine` sends requests.
//! * `process` is the only module that starts processes, `report` the only one that prints. `console` forwards the bytes of an
//!   interactive step.
//!
//! `docs/architecture.md` has the map of these modules, the words, and where a change goes.

pub mod agent;
pub mod apk;
pub mod backend;
pub mod bench;
mod build;
pub mod cache;
pub mod cli;
pub mod commands;
pub mod compile;
pub mod console;
pub mod control;
pub mod ecosystem;
pub mod engine;
pub mod env;
pub mod event;
pub mod exit;
pub mod files;
pub mod guest;
pub mod home;
pub mod host;
pub mod image;
pub mod input;
mod jobs;
pub mod logfile;
mod login;
pub mod manifest;
pub mod package;
pub mod pipelines;
pub mod plan;
pub mod process;
pub mod report;
pub mod rundir;
pub mod secret;
pub mod share;
pub mod sources;
pub mod trust;
