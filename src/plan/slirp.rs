//! QEMU's user network (SLIRP): its addresses, and the search domains.

use serde::Serialize;

use crate::exit::Failure;

/// The network and its search domains. The default is QEMU's own, 10.0.2.0/24, without a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slirp {
    network: [u8; 4],
    prefix: u8,
    search: Vec<String>,
}

impl Default for Slirp {
    fn default() -> Self {
        Self { network: [10, 0, 2, 0], prefix: 24, search: Vec::new() }
    }
}

impl Slirp {
    /// The network of `QEMU_NET_CIDR` (`172.20.0.0/24`; the default with `None`) and search domains.
    ///
    /// # Errors
    /// A usage error (2) for an invalid network or name.
    pub fn new(cidr: Option<&str>, search: Vec<String>) -> Result<Self, Failure> {
        let is_name = |name: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            (1..=253).contains(&name.len()) && name.chars().all(plain)
        };
        if let Some(name) = search.iter().find(|name| !is_name(name)) {
            let what = format!("QEMU_DNS_SEARCH: {name:?} is not the name of a domain");
            return Err(Failure::usage(what, "write names with commas between them, such as corp.example"));
        }
        let Self { mut network, mut prefix, .. } = Self::default();
        if let Some(text) = cidr {
            (network, prefix) = parse(text).ok_or_else(|| {
                Failure::usage(
                    format!("QEMU_NET_CIDR: {text:?} is not an IPv4 network with a prefix from 8 to 28"),
                    "write a network that your other networks do not overlap, such as 172.20.0.0/24",
                )
            })?;
        }
        Ok(Self { network, prefix, search })
    }

    /// The guest's address.
    pub(crate) fn guest(&self) -> [u8; 4] {
        // In the smallest network 15 is the broadcast address.
        self.address(if self.prefix == 28 { 14 } else { 15 })
    }

    /// The address of the host's loopback.
    pub fn host(&self) -> [u8; 4] {
        self.address(2)
    }

    /// The name server.
    pub fn name_server(&self) -> [u8; 4] {
        self.address(3)
    }

    /// The length of the network's prefix.
    pub(crate) fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether an address is in this network.
    pub fn contains(&self, address: [u8; 4]) -> bool {
        let bits = |address| u32::from_be_bytes(address) >> (32 - self.prefix);
        bits(address) == bits(self.network)
    }

    /// `/etc/resolv.conf`.
    pub(crate) fn resolver(&self) -> String {
        let search = if self.search.is_empty() {
            String::new()
        } else {
            format!("search {}\n", self.search.join(" "))
        };
        format!("{search}nameserver {}\n", dotted(self.name_server()))
    }

    /// The options of `-netdev user`; empty for QEMU's default network.
    pub fn options(&self) -> String {
        let default = Self::default();
        if (self.network, self.prefix) == (default.network, default.prefix) {
            return String::new();
        }
        format!(
            ",net={}/{},host={},dns={},dhcpstart={}",
            dotted(self.network),
            self.prefix,
            dotted(self.host()),
            dotted(self.name_server()),
            dotted(self.guest())
        )
    }

    fn address(&self, number: u8) -> [u8; 4] {
        let [a, b, c, d] = self.network;
        [a, b, c, d | number]
    }
}

/// Parses an IPv4 network. The bits after the prefix become zero.
fn parse(text: &str) -> Option<([u8; 4], u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok().filter(|prefix| (8..=28).contains(prefix))?;
    let network = u32::from(address) & (u32::MAX << (32 - prefix));
    Some((network.to_be_bytes(), prefix))
}

fn dotted(address: [u8; 4]) -> std::net::Ipv4Addr {
    address.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_network_is_that_of_qemu() {
        let slirp = Slirp::default();
        assert_eq!((slirp.guest(), slirp.name_server()), ([10, 0, 2, 15], [10, 0, 2, 3]));
        assert_eq!(slirp.options(), "");
        assert_eq!(slirp.resolver(), "nameserver 10.0.2.3\n");
    }

    #[test]
    fn another_network_is_named_in_full() {
        for (cidr, options) in [
            ("172.20.0.0/24", ",net=172.20.0.0/24,host=172.20.0.2,dns=172.20.0.3,dhcpstart=172.20.0.15"),
            ("10.9.8.7/8", ",net=10.0.0.0/8,host=10.0.0.2,dns=10.0.0.3,dhcpstart=10.0.0.15"),
            (
                "192.168.7.40/28",
                ",net=192.168.7.32/28,host=192.168.7.34,dns=192.168.7.35,dhcpstart=192.168.7.46",
            ),
        ] {
            let slirp = Slirp::new(Some(cidr), vec!["corp.example".into(), "example".into()]).expect("valid");
            assert_eq!(slirp.options(), options);
            assert!(slirp.resolver().starts_with("search corp.example example\nnameserver "));
        }
    }

    #[test]
    fn invalid_networks_and_names_are_refused() {
        for cidr in
            ["", "10.0.2.0", "10.0.2.0/7", "10.0.2.0/29", "10.0.2/24", "::/16", "10.0.2.0/24,hostfwd=x"]
        {
            assert!(Slirp::new(Some(cidr), Vec::new()).is_err(), "{cidr}");
        }
        for name in ["", "a b", "a\nnameserver 6.6.6.6"] {
            assert!(Slirp::new(None, vec![name.into()]).is_err(), "{name:?}");
        }
    }
}
