//! The agent's last words for people: `/dev/kmsg` in a microVM (and so the kernel's console), stderr elsewhere.
//!
//! Only failures are written here; all else goes over the wire.

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
    /// What the last panic said and where.
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

/// One failure; lost when there is no log yet, or the log cannot take it.
pub(crate) fn failure(text: &str) {
    // A line of the kernel's log ends at a newline: what follows would lose its prefix.
    let text = text.replace('\n', " | ");
    let written = match LOG.get() {
        Some(Log::Kernel(kmsg)) => (&*kmsg).write_all(format!("{KERNEL_ERROR}{PREFIX} {text}\n").as_bytes()),
        Some(Log::Stderr(stderr)) => (&*stderr).write_all(format!("{PREFIX} {text}\n").as_bytes()),
        None => Ok(()),
    };
    // Best effort: the failure goes over the wire as well, and there is nobody else to tell.
    drop(written);
}

/// Keeps what a panic says for [`panicked`], instead of std's print to stderr.
pub(crate) fn keep_panics() {
    panic::set_hook(Box::new(|info| PANIC.with(|kept| *kept.borrow_mut() = info.to_string())));
}

/// What the last panic said.
pub(crate) fn panicked() -> String {
    PANIC.with(|kept| kept.borrow().clone())
}
