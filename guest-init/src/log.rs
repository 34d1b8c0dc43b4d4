//! The agent's log: `/dev/kmsg` in a microVM (and so the kernel's console), stderr elsewhere.
//!
//! It has failures only; all else goes to the host.

use std::{cell::RefCell, fs::File, io::Write, panic, sync::OnceLock};

/// Marks the agent's lines among those of the kernel.
const PREFIX: &str = "kiln-agent:";

/// The kernel's level for errors: `quiet` does not hide it.
const KERNEL_ERROR: &str = "<3>";

static LOG: OnceLock<Log> = OnceLock::new();

enum Log {
    Kernel(File),
    Stderr(File),
}

thread_local! {
    /// Message and location of the last panic.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Writes to the kernel's log from now on.
pub(crate) fn to_kernel(kmsg: File) {
    LOG.get_or_init(|| Log::Kernel(kmsg));
}

/// Writes to this copy of stderr from now on.
pub(crate) fn to_stderr(stderr: File) {
    LOG.get_or_init(|| Log::Stderr(stderr));
}

/// Logs one failure; it is lost when there is no log yet, or the write fails.
pub(crate) fn failure(text: &str) {
    // A newline ends a record of the kernel's log: the rest would have no prefix.
    let text = text.replace('\n', " | ");
    let written = match LOG.get() {
        Some(Log::Kernel(kmsg)) => (&*kmsg).write_all(format!("{KERNEL_ERROR}{PREFIX} {text}\n").as_bytes()),
        Some(Log::Stderr(stderr)) => (&*stderr).write_all(format!("{PREFIX} {text}\n").as_bytes()),
        None => Ok(()),
    };
    // Best effort: the host gets the failure as well, and there is no other place to report it.
    drop(written);
}

/// Keeps the message of a panic for [`panicked`], instead of std's print to stderr.
pub(crate) fn keep_panics() {
    panic::set_hook(Box::new(|info| PANIC.with(|kept| *kept.borrow_mut() = info.to_string())));
}

/// The message of the last panic.
pub(crate) fn panicked() -> String {
    PANIC.with(|kept| kept.borrow().clone())
}
