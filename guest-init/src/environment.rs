//! Where the agent runs, which decides how it gets its channel and how it ends.

/// Where the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// PID 1 of a microVM: the channel is a virtio-serial port, the end is that of the machine.
    Machine,
    /// The first process of a container or sandbox: the channel is stdin and stdout, the end is an exit.
    Sandbox,
}
