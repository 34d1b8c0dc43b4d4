//! Time and randomness for a guest with a kernel of its own.

use std::{
    fs::File,
    io::Read,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use kiln_protocol::GuestConfig;

use crate::plan::Plan;

/// Random bytes for the guest: twice the size of the kernel's seed.
const ENTROPY_BYTES: usize = 64;

/// The guest's configuration with the time and randomness, which are known only at launch. Only a microVM has a clock and a random
/// pool to be set.
pub(super) fn launch_config(plan: &Plan) -> Result<GuestConfig> {
    if !plan.runner().traits().own_kernel {
        return Ok(plan.guest_config.clone());
    }
    let mut entropy = vec![0; ENTROPY_BYTES];
    let mut random = File::open("/dev/urandom").context("open /dev/urandom")?;
    random.read_exact(&mut entropy).context("read /dev/urandom")?;
    Ok(GuestConfig { clock_ns: Some(wall_clock_ns()?), entropy, ..plan.guest_config.clone() })
}

/// The host's time, in nanoseconds since the epoch.
pub(super) fn wall_clock_ns() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the host's clock is before 1970")?;
    u64::try_from(now.as_nanos()).context("the host's clock is after 2554")
}
