//! A channel between kiln and QEMU: a pair of connected sockets.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use tokio::net::UnixStream;

/// kiln's end of a channel, and QEMU's.
pub(super) fn channel(whose: &str) -> Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair().with_context(|| format!("make {whose} channel"))?;
    // QEMU expects blocking descriptors.
    let theirs = theirs.into_std().context("take a channel's end")?;
    theirs.set_nonblocking(false).context("make a channel's end blocking")?;
    Ok((ours, theirs.into()))
}
