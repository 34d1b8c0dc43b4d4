//! Decides which of a guest's Ethernet frames reach QEMU's network stack (SLIRP): the border between a guest and the host's
//! loopback.
//!
//! SLIRP, as a process of this host, sends each packet to its destination. So 127.0.0.1 is the host's loopback, and each address of
//! SLIRP's own network is, too. The address of the name server is, with all ports, that of the host's resolver, which may be on
//! loopback (127.0.0.53). Root in the guest can send any frame, so routes in the guest are no border.
//!
//! Unneeded frames are dropped. The filter reads fields at the same fixed offsets as SLIRP, so that both agree. Pure:
//! [`frames`](super::frames) forwards the bytes.

use crate::plan::{HostLoopback, Slirp};

/// Destination, source and type of an Ethernet frame.
const ETHERNET: usize = 14;
/// An IPv4 header without options, and an ARP packet for IPv4: the shortest that SLIRP accepts.
const IPV4: usize = 20;
const ARP: usize = 28;

const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_ARP: [u8; 2] = [0x08, 0x06];

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The port of name servers.
const DOMAIN: [u8; 2] = 53_u16.to_be_bytes();

/// The bits of "more fragments" and of the fragment's offset.
const FRAGMENT: u16 = 0x3fff;

/// The rules for one guest.
#[derive(Debug, Clone)]
pub(super) struct PacketFilter {
    slirp: Slirp,
    host_loopback: HostLoopback,
}

impl PacketFilter {
    pub(super) fn new(slirp: Slirp, host_loopback: HostLoopback) -> Self {
        Self { slirp, host_loopback }
    }

    /// Whether a frame of the guest may reach SLIRP.
    pub(super) fn admits(&self, frame: &[u8]) -> bool {
        let Some((header, packet)) = frame.split_first_chunk::<ETHERNET>() else { return false };
        let [.., high, low] = *header;
        match [high, low] {
            // SLIRP answers for its own addresses.
            TYPE_ARP if frame.len() >= ETHERNET + ARP => true,
            TYPE_IPV4 => self.admits_ipv4(packet),
            // IPv6 is off. Builds need neither tagged frames nor the management protocol NC-SI.
            _ => false,
        }
    }

    fn admits_ipv4(&self, packet: &[u8]) -> bool {
        let Some((header, payload)) = packet.split_first_chunk::<IPV4>() else { return false };
        if header[0] >> 4 != 4 {
            return false;
        }
        let [.., a, b, c, d] = *header;
        let destination = [a, b, c, d];
        if destination == self.slirp.name_server() {
            return is_domain(header, payload);
        }
        if destination == self.slirp.host() {
            return self.host_loopback == HostLoopback::On;
        }
        // "This host" (a connection to it reaches loopback); loopback; multicast, reserved addresses and broadcast.
        !self.slirp.contains(destination) && !matches!(a, 0 | 127 | 224..)
    }
}

/// Whether a packet is for the port of a name server. Packets with options and fragments are refused: their port is at another
/// offset, and resolvers do not send them.
fn is_domain(header: &[u8; IPV4], payload: &[u8]) -> bool {
    let without_options = usize::from(header[0] & 0xf) * 4 == IPV4;
    let whole = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT == 0;
    without_options && whole && matches!(header[9], TCP | UDP) && payload.get(2..4) == Some(&DOMAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(cidr: Option<&str>, host_loopback: HostLoopback) -> PacketFilter {
        PacketFilter::new(Slirp::new(cidr, Vec::new()).expect("valid"), host_loopback)
    }

    fn frame(kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
        [&[0x52; 12], &kind[..], packet].concat()
    }

    /// A packet to an address, and a port where the protocol has one.
    fn ipv4(destination: &str, protocol: u8, port: u16) -> Vec<u8> {
        let address: std::net::Ipv4Addr = destination.parse().expect("an address");
        let mut packet = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 2, 15];
        packet.extend(address.octets());
        packet.extend([0x9c, 0x40]);
        packet.extend(port.to_be_bytes());
        packet.extend([0; 4]);
        frame(TYPE_IPV4, &packet)
    }

    const ICMP: u8 = 1;

    #[test]
    fn no_address_reaches_the_hosts_loopback() {
        let closed = filter(None, HostLoopback::Off);
        let addresses = [
            "10.0.2.2",
            "10.0.2.0",
            "10.0.2.1",
            "10.0.2.4",
            "10.0.2.7",
            "10.0.2.15",
            "10.0.2.255",
            "127.0.0.1",
            "127.0.0.53",
            "127.255.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
        ];
        for address in addresses {
            for (protocol, port) in [(TCP, 80), (UDP, 80), (TCP, 53), (UDP, 53), (ICMP, 0), (132, 80)] {
                assert!(!closed.admits(&ipv4(address, protocol, port)), "{address} {protocol} {port}");
            }
        }
    }

    #[test]
    fn other_addresses_are_admitted() {
        let closed = filter(None, HostLoopback::Off);
        for address in
            ["1.1.1.1", "10.0.3.2", "126.255.255.255", "128.0.0.1", "192.168.1.1", "223.255.255.255"]
        {
            for (protocol, port) in [(TCP, 443), (UDP, 53), (ICMP, 0)] {
                assert!(closed.admits(&ipv4(address, protocol, port)), "{address} {protocol} {port}");
            }
        }
        assert!(closed.admits(&frame(TYPE_ARP, &[0; ARP])));
    }

    #[test]
    fn only_the_dns_port_of_the_name_server_is_reached() {
        let closed = filter(None, HostLoopback::Off);
        for (protocol, port, admitted) in [
            (TCP, 53, true),
            (UDP, 53, true),
            (TCP, 54, false),
            (UDP, 5353, false),
            (ICMP, 53, false),
            (132, 53, false),
        ] {
            assert_eq!(closed.admits(&ipv4("10.0.2.3", protocol, port)), admitted, "{protocol} {port}");
        }
        // The port comes after the options, and a later fragment has none.
        for (at, value) in [(0, 0x46), (0, 0x4f), (0, 0x44), (6, 0x20), (6, 0x1f), (7, 1)] {
            let mut packet = ipv4("10.0.2.3", UDP, 53);
            packet[ETHERNET + at] = value;
            assert!(!closed.admits(&packet), "{at} {value}");
        }
    }

    #[test]
    fn another_network_has_its_own_addresses() {
        let closed = filter(Some("172.20.0.0/16"), HostLoopback::Off);
        for (address, port, admitted) in [
            ("172.20.0.3", 53, true),
            ("172.20.0.3", 80, false),
            ("172.20.0.2", 53, false),
            ("172.20.255.9", 80, false),
            ("172.21.0.1", 80, true),
            ("10.0.2.2", 80, true),
        ] {
            assert_eq!(closed.admits(&ipv4(address, TCP, port)), admitted, "{address} {port}");
        }
    }

    #[test]
    fn an_open_loopback_has_one_address() {
        let open = filter(None, HostLoopback::On);
        for (address, port, admitted) in [
            ("10.0.2.2", 80, true),
            ("10.0.2.7", 80, false),
            ("127.0.0.1", 80, false),
            ("10.0.2.3", 80, false),
        ] {
            assert_eq!(open.admits(&ipv4(address, TCP, port)), admitted, "{address} {port}");
        }
    }

    #[test]
    fn truncated_frames_and_other_protocols_are_dropped() {
        let closed = filter(None, HostLoopback::Off);
        let whole = ipv4("1.1.1.1", TCP, 443);
        for length in 0..ETHERNET + IPV4 {
            assert!(!closed.admits(&whole[..length]), "{length}");
        }
        assert!(!closed.admits(&frame(TYPE_ARP, &[0; ARP - 1])));
        let ipv6 = [&[0x60; 8][..], &[0; 15], &[1], &[0; 16]].concat();
        for (kind, packet) in [
            ([0x86, 0xdd], &ipv6[..]),
            // IPv6 in a frame that says IPv4.
            (TYPE_IPV4, &ipv6[..]),
            // A VLAN tag; NC-SI.
            ([0x81, 0x00], &whole[ETHERNET - 2..]),
            ([0x88, 0xf8], &[0; 64]),
        ] {
            assert!(!closed.admits(&frame(kind, packet)), "{kind:?}");
        }
    }
}
