//! The runtime of the commands that wait for processes, sockets or signals.

use anyhow::{Context, Result};

/// Runs to the end on one thread: children are bound to the thread that spawns them, and this one lives as long as the program.
pub(super) fn on_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let result = runtime.block_on(work);
    // Threads that still wait for a stream must not keep the program.
    runtime.shutdown_background();
    result
}
