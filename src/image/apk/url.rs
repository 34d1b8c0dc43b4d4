//! The parts of a URL that matter for a download: host, and a name and password, which are shown nowhere.

use crate::login;

/// Whether an address is downloaded.
pub(super) fn is_remote(address: &str) -> bool {
    ["https://", "http://"]
        .iter()
        .any(|scheme| address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// A URL in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    userinfo: Option<&'a str>,
    authority: &'a str,
    rest: &'a str,
}

fn parts(address: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = address.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    let (userinfo, authority) = match authority.rsplit_once('@') {
        Some((userinfo, authority)) => (Some(userinfo), authority),
        None => (None, authority),
    };
    Some(Parts { scheme, userinfo, authority, rest })
}

/// The URL with stars in place of a name and password.
pub(super) fn redact(address: &str) -> String {
    login::hide(address, "***@")
}

/// The URL without a name and password, and these, decoded.
pub(super) fn split_userinfo(address: &str) -> (String, Option<(String, String)>) {
    match parts(address) {
        Some(Parts { scheme, userinfo: Some(userinfo), authority, rest }) => {
            let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            (format!("{scheme}://{authority}{rest}"), Some((decode(name), decode(password))))
        }
        _ => (address.to_owned(), None),
    }
}

/// The host, in lower case, without a port.
pub(super) fn host(address: &str) -> Option<String> {
    let authority = parts(address)?.authority;
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// Scheme, host and port: what a login in a URL is for.
pub(super) fn origin(address: &str) -> Option<String> {
    let Parts { scheme, authority, .. } = parts(address)?;
    Some(format!("{scheme}://{authority}").to_ascii_lowercase())
}

/// Whether a URL is encrypted on its way.
pub(super) fn is_secure(address: &str) -> bool {
    parts(address).is_some_and(|parts| parts.scheme.eq_ignore_ascii_case("https"))
}

/// The URL to which a server sends on from another one (RFC 3986 §5.2, without `..`). A name and password in it are left out.
pub(super) fn join(from: &str, location: &str) -> Option<String> {
    let (location, _) = location.split_once('#').unwrap_or((location, ""));
    let Parts { scheme, authority, rest, .. } = parts(from)?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let joined = match location {
        _ if is_remote(location) => location.to_owned(),
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        // A colon before the first slash ends a scheme that is not HTTP's.
        _ if location.split('/').next()?.contains(':') => return None,
        _ => {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{scheme}://{authority}{directory}/{location}")
        }
    };
    Some(split_userinfo(&joined).0)
}

/// Resolves percent signs (RFC 3986); one that begins no escape stands for itself.
fn decode(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digits: Vec<u8> = bytes.clone().take(2).collect();
        let value = std::str::from_utf8(&digits).ok().filter(|digits| digits.len() == 2);
        match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                decoded.push(value);
                bytes.by_ref().take(2).for_each(drop);
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_password_are_taken_off_and_never_shown() {
        let (plain, login) = split_userinfo("https://m%40e:p%3Aw:d%@h.example.org:8443/a@b?x");
        assert_eq!(plain, "https://h.example.org:8443/a@b?x");
        assert_eq!(login, Some(("m@e".into(), "p:w:d%".into())));
        assert_eq!(redact("@t https://me:pw@h.example.org/x"), "@t https://***@h.example.org/x");
        assert_eq!(redact("https://h.example.org/x@y"), "https://h.example.org/x@y");
        assert_eq!(split_userinfo("http://h/x"), ("http://h/x".into(), None));
    }

    #[test]
    fn a_host_is_without_its_port() {
        for (address, wanted) in [
            ("https://H.example.org:8443/x", Some("h.example.org")),
            ("http://u:p@h", Some("h")),
            ("http://[::1]:80/x", Some("::1")),
            ("http:///x", None),
            ("packages", None),
        ] {
            assert_eq!(host(address).as_deref(), wanted, "{address}");
        }
    }

    #[test]
    fn a_server_sends_on_to_web_addresses_only() {
        let from = "https://u:p@h.example.org:8443/a/b?x#y";
        for (location, wanted) in [
            ("http://o.example.org/x", Some("http://o.example.org/x")),
            ("HTTPS://v:q@o.example.org/x#z", Some("HTTPS://o.example.org/x")),
            ("//o.example.org/x", Some("https://o.example.org/x")),
            ("/x?y", Some("https://h.example.org:8443/x?y")),
            ("c", Some("https://h.example.org:8443/a/c")),
            ("file:///etc/passwd", None),
            ("ftp://o.example.org/x", None),
        ] {
            assert_eq!(join(from, location).as_deref(), wanted, "{location}");
        }
        assert_eq!(join("https://h", "c").as_deref(), Some("https://h/c"));
        assert_eq!(origin("HTTP://H:80/x").as_deref(), Some("http://h:80"));
        assert!(is_secure("HTTPS://h") && !is_secure("http://h"));
    }

    #[test]
    fn only_web_addresses_are_downloaded() {
        assert!(is_remote("https://x") && is_remote("HTTP://x"));
        assert!(!is_remote("./http") && !is_remote("file:///x") && !is_remote("") && !is_remote("ü"));
    }
}
