//! What the libraries of the device say goes to its standard error, of which kiln keeps the last lines.

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        say(&format!("{}", record.args()));
    }

    fn flush(&self) {}
}

/// Writes a line.
pub(super) fn say(line: &str) {
    // Best effort: the exit code tells that something is wrong.
    let _ = nix::unistd::write(std::io::stderr(), format!("{line}\n").as_bytes());
}

/// Starts logging, and has a panic in any thread end the process: the guest would wait for that thread for ever.
pub(super) fn install() {
    // Best effort: the role starts once in a process.
    let _ = log::set_logger(&Stderr);
    log::set_max_level(LevelFilter::Info);
    std::panic::set_hook(Box::new(|panic| {
        say(&panic.to_string());
        std::process::abort();
    }));
}
