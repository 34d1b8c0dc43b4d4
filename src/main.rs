//! The program: an exit code, nothing else.

use std::{env, process::ExitCode};

use kiln::process::{REAPER_ARGUMENT, reaper_main};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == REAPER_ARGUMENT) {
        return reaper_main(&arguments.next().unwrap_or_default());
    }
    kiln::commands::main()
}
