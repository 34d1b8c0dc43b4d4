//! The start in a container or sandbox: the channel is moved away from stdin and stdout.
//!
//! Before it: `docker run -i`, `bwrap`, or a test. After it: [`session`](crate::session). It mounts nothing.

use std::{
    fs::File,
    io::{stderr, stdin, stdout},
    os::fd::AsFd,
};

use anyhow::{Context, Result};
use nix::unistd::{dup2_stdin, dup2_stdout};

use crate::{late_devices::Places, log, port::Port};

/// Moves the channel to descriptors that no step sees, and leaves `/dev/null` on 0 and stderr on 1.
pub(crate) fn open() -> Result<Port> {
    let log = stderr().as_fd().try_clone_to_owned().context("copy stderr")?;
    log::to_stderr(File::from(log));
    let input = stdin().as_fd().try_clone_to_owned().context("copy stdin")?;
    let output = stdout().as_fd().try_clone_to_owned().context("copy stdout")?;
    let null = File::open("/dev/null").context("open /dev/null")?;
    dup2_stdin(&null).context("put /dev/null on stdin")?;
    dup2_stdout(stderr().as_fd()).context("put stderr on stdout")?;
    Port::greet(input, output, &Places::default())
}
