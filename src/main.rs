//! The program: an exit code, nothing else.

use std::{env, process::ExitCode};

use kiln::{
    process::{JAIL_ARGUMENT, REAPER_ARGUMENT, jail_main, reaper_main},
    share::embedded::{VIRTIOFS_ARGUMENT, virtiofs_main},
};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == REAPER_ARGUMENT => reaper_main(&arguments.next().unwrap_or_default()),
        Some(first) if first == JAIL_ARGUMENT => jail_main(arguments),
        Some(first) if first == VIRTIOFS_ARGUMENT => virtiofs_main(arguments),
        Some(_) | None => kiln::commands::main(),
    }
}
