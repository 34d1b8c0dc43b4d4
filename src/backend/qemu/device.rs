//! The devices of a microVM: drivers and properties as QEMU's documentation names them.

use std::fmt;

use kiln_protocol::PORT_NAME;
use qapi::{Any, Dictionary, qmp::device_add};

/// The size of a virtiofs queue; the device's maximum.
const VIRTIOFS_QUEUE: u32 = 1024;

/// The PCI slots of a guest that is restored, one for each share that a vhost-user daemon may serve.
pub(super) const SLOTS: [&str; 2] = [SOURCE_SLOT, CACHE_SLOT];

/// The slot of the source.
pub(super) const SOURCE_SLOT: &str = "source-slot";
/// The slot of the cache.
pub(super) const CACHE_SLOT: &str = "cache-slot";

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
    Virtiofs { chardev: &'a str, tag: &'a str, request_queues: Option<u32>, bus: Bus },
    /// A PCI bridge with one slot, into which a device can be plugged. The number is unique.
    Slot { id: &'a str, number: u32 },
    /// The network card.
    Card { netdev: &'a str },
}

/// Where a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bus {
    /// On a virtio-mmio transport, from the start.
    Mmio,
    /// In a PCI slot, plugged in later.
    Slot(&'static str),
}

/// The value of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Text(&'a str),
    Number(u32),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
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

    /// The command that plugs it in.
    pub(super) fn command(self) -> device_add {
        let argument = |(name, value): (&str, Value<'_>)| {
            let value = match value {
                Value::Text(text) => Any::from(text),
                Value::Number(number) => Any::from(number),
            };
            (name.to_owned(), value)
        };
        let arguments: Dictionary = self.properties().into_iter().map(argument).collect();
        device_add { driver: self.driver().into(), bus: None, id: None, arguments }
    }

    fn driver(self) -> &'static str {
        match self {
            Self::Random { .. } => "virtio-rng-device",
            Self::Serial => "virtio-serial-device",
            Self::Console { .. } => "virtconsole",
            Self::AgentPort { .. } => "virtserialport",
            Self::Disk { .. } => "virtio-blk-device",
            Self::NineP { .. } => "virtio-9p-device",
            Self::Virtiofs { bus: Bus::Mmio, .. } => "vhost-user-fs-device",
            Self::Virtiofs { bus: Bus::Slot(_), .. } => "vhost-user-fs-pci",
            Self::Slot { .. } => "pcie-root-port",
            Self::Card { .. } => "virtio-net-device",
        }
    }

    /// The properties. No value contains a comma: they are ids and constants.
    fn properties(&self) -> Vec<(&'static str, Value<'_>)> {
        use Value::{Number, Text};
        match *self {
            Self::Random { rng } => vec![("rng", Text(rng))],
            Self::Serial => vec![("max_ports", Number(2))],
            Self::Console { chardev } => vec![("chardev", Text(chardev))],
            Self::AgentPort { chardev } => vec![("chardev", Text(chardev)), ("name", Text(PORT_NAME))],
            Self::Disk { drive, serial, on_write_error } => {
                let mut properties = vec![("drive", Text(drive)), ("serial", Text(serial))];
                if on_write_error == WriteError::Stop {
                    properties.push(("werror", Text("stop")));
                }
                properties
            }
            Self::NineP { fsdev, tag } => vec![("fsdev", Text(fsdev)), ("mount_tag", Text(tag))],
            Self::Virtiofs { chardev, tag, request_queues, bus } => {
                let usual =
                    [("chardev", Text(chardev)), ("tag", Text(tag)), ("queue-size", Number(VIRTIOFS_QUEUE))];
                let queues = request_queues.map(|count| ("num-request-queues", Number(count)));
                let slot = match bus {
                    Bus::Mmio => None,
                    Bus::Slot(slot) => Some(("bus", Text(slot))),
                };
                usual.into_iter().chain(queues).chain(slot).collect()
            }
            // The guest's driver for slots is not used, which would switch the power on.
            Self::Slot { id, number } => vec![
                ("id", Text(id)),
                ("chassis", Number(number)),
                ("slot", Number(number)),
                ("power_controller_present", Text("off")),
            ],
            Self::Card { netdev } => vec![("netdev", Text(netdev))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers_in_a_command_and_text_in_a_switch() {
        let device = Device::Virtiofs {
            chardev: "cache",
            tag: "kiln-cache",
            request_queues: Some(2),
            bus: Bus::Slot(CACHE_SLOT),
        };
        assert_eq!(
            device.switch(),
            "vhost-user-fs-pci,chardev=cache,tag=kiln-cache,queue-size=1024,num-request-queues=2,bus=cache-slot"
        );
        assert_eq!(
            serde_json::to_value(device.command()).unwrap(),
            serde_json::json!({
                "driver": "vhost-user-fs-pci", "chardev": "cache", "tag": "kiln-cache", "queue-size": 1024,
                "num-request-queues": 2, "bus": "cache-slot"
            })
        );
    }
}
