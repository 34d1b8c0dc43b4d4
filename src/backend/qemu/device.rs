//! The devices of a microVM: drivers and properties as QEMU's documentation names them.

use kiln_protocol::PORT_NAME;

/// Requests that fit a virtiofs queue; the device's most.
const VIRTIOFS_QUEUE: u32 = 1024;

/// A device, and the back end (`chardev`, `netdev`, …) by the id that its own switch gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Device<'a> {
    /// A source of random numbers.
    Random { rng: &'a str },
    /// The bus of serial ports.
    Serial,
    /// The kernel's console.
    Console { chardev: &'a str },
    /// The agent's channel.
    AgentPort { chardev: &'a str },
    /// A disk that the agent finds by its serial number.
    Disk { drive: &'a str, serial: &'a str, on_write_error: WriteError },
    /// A directory by QEMU's own 9p server.
    NineP { fsdev: &'a str, tag: &'a str },
    /// A directory by a vhost-user daemon.
    Virtiofs { chardev: &'a str, tag: &'a str },
    /// The network card.
    Card { netdev: &'a str },
}

/// What happens when the host cannot take a write of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteError {
    /// QEMU's own choice.
    Default,
    /// QEMU stops the guest, and the monitor says why: a guest that is told of it only sees a broken disk.
    Stop,
}

impl Device<'_> {
    /// The value of `-device`.
    pub(super) fn switch(self) -> String {
        let properties = self.properties().into_iter();
        properties.fold(self.driver().to_owned(), |switch, (name, value)| format!("{switch},{name}={value}"))
    }

    fn driver(self) -> &'static str {
        match self {
            Self::Random { .. } => "virtio-rng-device",
            Self::Serial => "virtio-serial-device",
            Self::Console { .. } => "virtconsole",
            Self::AgentPort { .. } => "virtserialport",
            Self::Disk { .. } => "virtio-blk-device",
            Self::NineP { .. } => "virtio-9p-device",
            Self::Virtiofs { .. } => "vhost-user-fs-device",
            Self::Card { .. } => "virtio-net-device",
        }
    }

    /// No value contains a comma: they are ids and constants of kiln's.
    fn properties(self) -> Vec<(&'static str, String)> {
        let text = str::to_owned;
        match self {
            Self::Random { rng } => vec![("rng", text(rng))],
            Self::Serial => vec![("max_ports", text("2"))],
            Self::Console { chardev } => vec![("chardev", text(chardev))],
            Self::AgentPort { chardev } => vec![("chardev", text(chardev)), ("name", text(PORT_NAME))],
            Self::Disk { drive, serial, on_write_error } => {
                let mut properties = vec![("drive", text(drive)), ("serial", text(serial))];
                if on_write_error == WriteError::Stop {
                    properties.push(("werror", text("stop")));
                }
                properties
            }
            Self::NineP { fsdev, tag } => vec![("fsdev", text(fsdev)), ("mount_tag", text(tag))],
            Self::Virtiofs { chardev, tag } => {
                let queue = VIRTIOFS_QUEUE.to_string();
                vec![("chardev", text(chardev)), ("tag", text(tag)), ("queue-size", queue)]
            }
            Self::Card { netdev } => vec![("netdev", text(netdev))],
        }
    }
}
