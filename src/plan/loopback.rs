//! Proxies on this host's loopback: recognizes their URLs, and rewrites them for a build.
//!
//! Before it: the environment's URLs. After it: `host_settings` passes those that the build can reach. A name is not replaced by an
//! address, since a proxy with TLS has a certificate for its name: the guest's `/etc/hosts` has the name, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names of loopback in `/etc/hosts` of common systems; `*.localhost` are more of them (RFC 6761 §6.3).
const NAMES: [&str; 7] = [
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "localhost6.localdomain6",
    "ip6-localhost",
    "ip6-loopback",
];

/// A proxy of this host's loopback.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loopback<'u> {
    /// The part of the URL before the host: scheme and user.
    before: &'u str,
    host: Host,
    /// The part after the host.
    after: &'u str,
    /// `None` if the URL has no valid port: tools do not agree on a default.
    pub(super) port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// A name, as in `/etc/hosts`.
    Name(String),
    /// `127.0.0.1`, or an address that is equivalent to it.
    Usual,
    /// Another loopback address: its listeners need not listen on 127.0.0.1.
    Other,
}

/// Whether a URL is of a service on this host's loopback.
pub fn is_loopback(url: &str) -> bool {
    Loopback::of(url).is_some()
}

impl<'u> Loopback<'u> {
    /// The proxy of a URL; `None` if it is on another host.
    pub(super) fn of(url: &'u str) -> Option<Self> {
        let start = url.find("://").map_or(0, |at| at + "://".len());
        let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
        let start = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
        let place = &url[start..end];
        let (name, port) = match place.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port_number(port)),
            Some(_) | None => (place, None),
        };
        let host = host(name)?;
        Some(Self { before: &url[..start], host, after: &url[start + name.len()..], port })
    }

    /// The URL for a build that shares the host's loopback; `None` if it needs no change.
    pub(super) fn shared(&self) -> Option<String> {
        self.name().map(|name| self.with_host(name))
    }

    /// The URL for a build with a loopback of its own, whose port is relayed; `None` if it cannot be relayed.
    pub(super) fn relayed(&self) -> Option<String> {
        self.port?;
        match &self.host {
            Host::Name(name) => Some(self.with_host(name)),
            // Not every guest has an `::1`.
            Host::Usual => Some(self.with_host(&Ipv4Addr::LOCALHOST.to_string())),
            Host::Other => None,
        }
    }

    /// Its name, which the build's `/etc/hosts` must have.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Usual | Host::Other => None,
        }
    }

    fn with_host(&self, host: &str) -> String {
        format!("{}{host}{}", self.before, self.after)
    }
}

/// A port from 1 to 65535.
fn port_number(port: &str) -> Option<u16> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|&port| digits && port != 0)
}

fn host(name: &str) -> Option<Host> {
    if let Some(address) = address(name) {
        let usual = address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST;
        return match address {
            _ if usual || address.is_unspecified() => Some(Host::Usual),
            _ if address.is_loopback() => Some(Host::Other),
            _ => None,
        };
    }
    // Resolvers ignore case and a final dot, some tools do not.
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if NAMES.contains(&name.as_str()) {
        return Some(Host::Name(name));
    }
    let label = name.strip_suffix(".localhost")?;
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    Some(if plain && !label.is_empty() { Host::Name(name) } else { Host::Other })
}

/// An address in a URL.
fn address(text: &str) -> Option<IpAddr> {
    let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return ipv4(text).map(IpAddr::V4);
    };
    // Without the zone id.
    let address: Ipv6Addr = inside.split('%').next()?.parse().ok()?;
    Some(address.to_canonical())
}

/// An address in a form of inet_aton(3): `127.1` and `0x7f000001` are `127.0.0.1`.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(c_number).collect::<Option<_>>()?;
    let (&last, first) = parts.split_last()?;
    let shift = 8 * (4_u32.checked_sub(u32::try_from(first.len()).ok()?)?);
    // The last part has all remaining bytes.
    if shift == 0 || u64::from(last) >= 1 << shift || first.iter().any(|&byte| byte > 0xff) {
        return None;
    }
    let bits = first.iter().zip((0..=24).rev().step_by(8)).fold(last, |bits, (&byte, at)| bits | byte << at);
    Some(Ipv4Addr::from_bits(bits))
}

/// A number in C's notation: decimal, octal or hexadecimal.
fn c_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix('0') {
        Some(rest) if rest.starts_with(['x', 'X']) => (&rest[1..], 16),
        Some(rest) if !rest.is_empty() => (rest, 8),
        Some(_) | None => (text, 10),
    };
    // `from_str_radix` would accept a sign.
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_of_loopback_is_recognized() {
        for (url, relayed) in [
            ("http://localhost:3128", Some("http://localhost:3128")),
            ("https://localhost:3128", Some("https://localhost:3128")),
            ("https://LOCALHOST:3128/", Some("https://localhost:3128/")),
            ("http://localhost.:3128", Some("http://localhost:3128")),
            ("ip6-localhost:3128", Some("ip6-localhost:3128")),
            ("http://Proxy.localhost:80", Some("http://proxy.localhost:80")),
            ("http://localhost:3128?localhost", Some("http://localhost:3128?localhost")),
            ("http://localhost:3128#a/b@c", Some("http://localhost:3128#a/b@c")),
            ("127.0.0.1:3128", Some("127.0.0.1:3128")),
            ("http://127.1:3128", Some("http://127.0.0.1:3128")),
            ("http://0x7f000001:3128", Some("http://127.0.0.1:3128")),
            ("http://0177.0.0.01:3128", Some("http://127.0.0.1:3128")),
            ("http://0:3128", Some("http://127.0.0.1:3128")),
            ("http://localhost:p@[::1]:80/", Some("http://localhost:p@127.0.0.1:80/")),
            ("http://[::ffff:127.0.0.1]:80", Some("http://127.0.0.1:80")),
            ("http://[::1%lo]:80", Some("http://127.0.0.1:80")),
            ("http://[::]:80", Some("http://127.0.0.1:80")),
            ("socks5://0.0.0.0:1", Some("socks5://127.0.0.1:1")),
            ("http://localhost", None),
            ("http://[::1]", None),
            ("http://127.0.0.2:3128", None),
            ("http://127.0.0.2:3128", None),
            ("http://a b.localhost:3128", None),
            ("http://localhost:x", None),
            ("http://localhost:+80", None),
            ("http://localhost:0", None),
            ("http://localhost:", None),
        ] {
            let loopback = Loopback::of(url).unwrap_or_else(|| panic!("{url} is loopback"));
            assert_eq!(loopback.relayed().as_deref(), relayed, "{url}");
        }
    }

    #[test]
    fn other_hosts_are_not_loopback() {
        for url in [
            "",
            "http://",
            "http://:3128",
            "http://proxy.example:3128",
            "http://localhost.example:3128",
            "http://mylocalhost:3128",
            "http://localhost:x@10.0.0.1:80",
            "http://10.0.0.1:80?@localhost",
            "http://128.1:80",
            "http://127.0.0.0.1:80",
            "http://127.16777216:80",
            "http://256.0.0.1:80",
            "http://127.0.0.:80",
            "http://[fe80::1%eth0]:80",
        ] {
            assert_eq!(Loopback::of(url), None, "{url}");
        }
    }

    #[test]
    fn a_shared_loopback_normalizes_names_only() {
        let shared = |url| Loopback::of(url).and_then(|loopback| loopback.shared());
        assert_eq!(shared("http://u@LocalHost.:0"), Some("http://u@localhost:0".into()));
        assert_eq!(shared("http://[::1]:80"), None);
    }
}
