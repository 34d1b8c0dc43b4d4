//! kiln's agent: PID 1 of a microVM, or (`--stdio`) the first process of a container or sandbox.
//!
//! ```text
//! boot  (microVM: modules, virtio-serial port)  \
//!                                                 port -> session -> end
//! stdio (container, sandbox: stdin and stdout)  /          |
//!                                                  prepare, exec, reap, export
//! ```
//!
//! One thread, one poll loop ([`session`]), no knowledge of recipes, caches or packages: it does what the host says over
//! the wire of `kiln-protocol`. When the channel closes, it ends, and all processes of the guest with it.

mod account;
mod attributes;
mod boot;
mod capability;
mod chown;
mod clock;
mod content;
mod end;
mod environment;
mod exec;
mod export;
mod file;
mod find_files;
mod gauges;
mod header;
mod identity;
mod idmap;
mod image;
mod input;
mod jks;
mod keyring;
mod late_devices;
mod limit;
mod listing;
mod log;
mod modules;
mod mount;
mod namespace;
mod netlink;
mod network;
mod output;
mod overlay;
mod owner_names;
mod path_change;
mod pivot;
mod port;
mod prepare;
mod processes;
mod queue;
mod read_file;
mod reap;
mod relay;
mod root;
mod scope;
mod seccomp;
mod secrets;
mod session;
mod stdio;
mod targets;
mod task;
mod terminal;
mod trust;
mod upper;
mod whiteout;

use std::process::ExitCode;

use environment::Environment;

fn main() -> ExitCode {
    let environment = if std::env::args_os().nth(1).is_some_and(|flag| flag == "--stdio") {
        Environment::Sandbox
    } else {
        Environment::Machine
    };
    let (result, on_exit) = session::serve(environment);
    end::end(environment, result, &on_exit)
}
