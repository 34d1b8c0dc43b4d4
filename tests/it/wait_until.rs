//! Waits for a condition that other tests may delay.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes that other tests may delay.
const HANGS: Duration = Duration::from_secs(60);

/// Waits until the condition holds; false after [`HANGS`].
pub(crate) fn wait_until(mut happens: impl FnMut() -> bool) -> bool {
    let hangs = Instant::now() + HANGS;
    loop {
        if happens() {
            return true;
        }
        if Instant::now() >= hangs {
            return false;
        }
        thread::yield_now();
    }
}
