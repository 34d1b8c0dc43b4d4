//! Brings the network up: loopback always, the first card with the host's static configuration.

use std::{fs, os::fd::AsRawFd};

use anyhow::{Context, Result, bail};
use kiln_protocol::Network;
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    net::if_::{InterfaceFlags, if_nametoindex},
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
    },
};

use crate::netlink::{Request, acknowledgement, message};

/// Where the kernel lists network devices.
const DEVICES: &str = "/sys/class/net";

/// Configures loopback and, if there is a configuration for it, the first card.
pub(crate) fn bring_up(network: Option<&Network>) -> Result<()> {
    // The loopback of a container or sandbox is up already, and the agent may not change it.
    if !is_up("lo")? {
        ask(Request::LinkUp { index: index("lo")?, mtu: 0 }).context("bring up loopback")?;
    }
    let Some(Network { address, prefix, gateway, prohibited, mtu }) = network else { return Ok(()) };
    let card = first_card()?;
    let index = index(&card)?;
    ask(Request::LinkUp { index, mtu: *mtu }).with_context(|| format!("bring up {card} with mtu {mtu}"))?;
    ask(Request::Address { index, address: *address, prefix: *prefix })
        .with_context(|| format!("give {card} the address {}/{prefix}", dotted(*address)))?;
    ask(Request::DefaultRoute { gateway: *gateway })
        .with_context(|| format!("route to {}", dotted(*gateway)))?;
    for address in prohibited {
        ask(Request::Prohibit { address: *address })
            .with_context(|| format!("prohibit {}", dotted(*address)))?;
    }
    Ok(())
}

fn is_up(name: &str) -> Result<bool> {
    let mut links = getifaddrs().context("list network devices")?;
    Ok(links.any(|link| link.interface_name == name && link.flags.contains(InterfaceFlags::IFF_UP)))
}

fn index(name: &str) -> Result<u32> {
    if_nametoindex(name).with_context(|| format!("find network device {name}"))
}

/// The card with the lowest index.
fn first_card() -> Result<String> {
    let mut cards = Vec::new();
    for entry in fs::read_dir(DEVICES).with_context(|| format!("list {DEVICES}"))? {
        let name =
            entry.with_context(|| format!("list {DEVICES}"))?.file_name().to_string_lossy().into_owned();
        if name != "lo" {
            cards.push((index(&name)?, name));
        }
    }
    match cards.into_iter().min() {
        Some((_, name)) => Ok(name),
        None => bail!("there is no network card"),
    }
}

fn dotted(address: [u8; 4]) -> std::net::Ipv4Addr {
    address.into()
}

/// Sends one request and takes its acknowledgement.
fn ask(request: Request) -> Result<()> {
    let route = SockProtocol::NetlinkRoute;
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, route)
        .context("open netlink")?;
    sendto(kernel.as_raw_fd(), &message(request), &NetlinkAddr::new(0, 0), MsgFlags::empty())
        .context("send by netlink")?;
    let mut answer = [0; 4096];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty()).context("receive from netlink")?;
    match acknowledgement(&answer[..length]) {
        Some(0) => Ok(()),
        Some(number) => Err(Errno::from_raw(number).into()),
        None => bail!("netlink did not acknowledge"),
    }
}
