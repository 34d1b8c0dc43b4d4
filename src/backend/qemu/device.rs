//! The devices of a microVM: drivers and properties as QEMU's documentation names them.

use kiln_protocol::PORT_NAME;

/// The size of a virtiofs queue; the device's maximum.
const VIRTIOFS_QUEUE: u32 = 1024;

/// A device, with the id of its back end (`chardev`, `netdev`, …).
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
    /// A share of QEMU's 9p server.
    NineP { fsdev: &'a str, tag: &'a str },
    /// A share of a vhost-user daemon, which has one queue for requests if there is no other number.
    Virtiofs { chardev: &'a str, tag: &'a str, request_queues: Option<u32> },
    /// The network card.
    Card { netdev: &'a str },
}

/// QEMU's reaction to a failed write on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteError {
    /// QEMU's default.
    Default,
    /// QEMU stops the guest, and the monitor reports the reason. The guest itself would see only an I/O error.
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

    /// The properties. No value contains a comma: they are ids and constants.
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
            Self::Virtiofs { chardev, tag, request_queues } => {
                let queue = VIRTIOFS_QUEUE.to_string();
                let usual = [("chardev", text(chardev)), ("tag", text(tag)), ("queue-size", queue)];
                let queues = request_queues.map(|count| ("num-request-queues", count.to_string()));
                usual.into_iter().chain(queues).collect()
            }
            Self::Card { netdev } => vec![("netdev", text(netdev))],
        }
    }
}
