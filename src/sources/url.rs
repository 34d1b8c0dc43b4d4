//! The addresses that the host's curl and git take, as types: no other text of a build file becomes one of their arguments.
//!
//! Both types are strict about the form. An address begins with the name of a protocol or of a host, so that no program takes it
//! for an option, an `ext::` helper, a `@file` of curl's or a path of the host.

use std::fmt;

/// The protocols that git may use (`GIT_ALLOW_PROTOCOL`), submodules included.
pub(super) const GIT_PROTOCOLS: &str = "https:http:git:ssh";
/// The protocols that curl may use, redirects included.
pub(super) const CURL_PROTOCOLS: &str = "=https,http";
/// No address is longer: servers refuse those of a few KiB.
const MOST_BYTES: usize = 8 << 10;

/// Why the host does not fetch from an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// No build could use its form, or a program would misread it.
    Malformed(String),
    /// A build may use it, but the host does not fetch from it.
    NotFetched(String),
}

/// An `https` or `http` URL, for curl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpUrl(String);

/// A repository that git reaches by https, http, git or ssh: `SCHEME://…`, or ssh's `[USER@]HOST:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GitUrl(String);

impl HttpUrl {
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        printable(text)?;
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Err(Refused::NotFetched("the host fetches files by https and http only".into()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "https" | "http" => authority(rest, Percent::InUser)?,
            _ => return Err(Refused::NotFetched("the host fetches files by https and http only".into())),
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl GitUrl {
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let not_fetched =
            || Refused::NotFetched("the host fetches repositories by https, http, git and ssh only".into());
        printable(text)?;
        if has_encoded_control(text) {
            return Err(Refused::Malformed("it has an encoded control character".into()));
        }
        match text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "https" | "http" => authority(rest, Percent::InUser)?,
                // git decodes all of it before it makes arguments of ssh.
                "git" | "ssh" => authority(rest, Percent::Nowhere)?,
                _ => return Err(not_fetched()),
            },
            None => {
                let (host, path) = text.split_once(':').ok_or_else(not_fetched)?;
                if host.contains('/') || path.starts_with(':') {
                    // A path of the host, or git's `HELPER::ADDRESS`.
                    return Err(not_fetched());
                }
                if path.is_empty() || path.starts_with('-') {
                    return Err(Refused::Malformed("the part after the host is not a path".into()));
                }
                let host = host
                    .rsplit_once('@')
                    .map_or(Ok(host), |(name, host)| user(name, Percent::Nowhere).map(|()| host))?;
                host_name(host)?;
            }
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a `%` is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Percent {
    /// In names and passwords, but not as their first character.
    InUser,
    Nowhere,
}

fn printable(text: &str) -> Result<(), Refused> {
    let why = if text.is_empty() {
        "it is empty"
    } else if text.starts_with('-') {
        "it begins with -, as an option does"
    } else if text.starts_with('@') {
        "it begins with @"
    } else if text.chars().any(char::is_control) {
        "it has a control character"
    } else if text.len() > MOST_BYTES {
        "it is longer than 8 KiB"
    } else {
        return Ok(());
    };
    Err(Refused::Malformed(why.into()))
}

/// RFC 3986, 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// `[USER[:PASSWORD]@]HOST[:PORT]` at the beginning of the text after `SCHEME://`.
fn authority(rest: &str, percent: Percent) -> Result<(), Refused> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once('@') {
        Some((name, host)) => {
            user(name, percent)?;
            host
        }
        None => authority,
    };
    let (host, port) = match host.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((address, after)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(Refused::Malformed(format!("{address:?} is not an IPv6 address")));
            }
            (None, after.strip_prefix(':').unwrap_or(after))
        }
        None => host.split_once(':').map_or((Some(host), ""), |(host, port)| (Some(host), port)),
    };
    host.map_or(Ok(()), host_name)?;
    if port.is_empty() || port.parse::<u16>().is_ok_and(|_| port.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(());
    }
    Err(Refused::Malformed(format!("{port:?} is not a port")))
}

fn host_name(host: &str) -> Result<(), Refused> {
    let first = |c: char| c.is_alphanumeric();
    let rest = |c: char| c.is_alphanumeric() || "._-".contains(c);
    if host.starts_with(first) && host.chars().all(rest) {
        return Ok(());
    }
    Err(Refused::Malformed(format!("{host:?} is not the name of a host")))
}

fn user(name: &str, percent: Percent) -> Result<(), Refused> {
    let allowed = |c: char| {
        c.is_alphanumeric() || "._~!$&'()*+,;=:-".contains(c) || (c == '%' && percent == Percent::InUser)
    };
    if name.starts_with(|c: char| c != '-' && c != '%') && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Refused::Malformed("the part before the @ is not the name of a user".into()))
}

/// `%0a` and the like: git decodes an address before it connects to a server.
fn has_encoded_control(text: &str) -> bool {
    text.split('%').skip(1).any(|after| {
        after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .is_some_and(|b| b.is_ascii_control())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALFORMED: &[&str] = &[
        "",
        "-x",
        "--x=y",
        "--upload-pack=touch x",
        "@/etc/passwd",
        "https://-x/y",
        "https://-x@host/y",
        "https://%2dx@host/y",
        "https:///y",
        "https://host:-1/y",
        "https://host:x/y",
        "https://host:99999/y",
        "https://[::1/y",
        "https://[-x]/y",
        "https://ho st/y",
        "https://host\n/y",
        "https://host/y\r\nx",
        "https://host/\0",
        "https://host/\u{7f}",
        "https://host/\u{9b}2J",
        "https://a$(b)/y",
        "https://a`b`/y",
        "https://a'b/y",
    ];

    #[test]
    fn files_are_fetched_by_https_and_http() {
        for url in [
            "https://example.org/x.tar.gz",
            "HTTP://example.org:8080/x?y=z#w",
            "http://127.0.0.1:1/x",
            "https://[::1]:8443/x",
            "https://me:p%40ss@example.org/x",
            "https://münchen.example/x y",
            "https://example.org/-x/--y",
        ] {
            assert_eq!(HttpUrl::parse(url).map(|url| url.to_string()), Ok(url.to_owned()));
        }
        for url in MALFORMED {
            assert!(matches!(HttpUrl::parse(url), Err(Refused::Malformed(_))), "{url:?}");
        }
        for url in [
            "file:///etc/shadow",
            "/etc/shadow",
            "x",
            "ftp://h/x",
            "scp://h/x",
            "gopher://h/x",
            "h:x",
            "1://h/x",
            "::",
        ] {
            assert!(matches!(HttpUrl::parse(url), Err(Refused::NotFetched(_))), "{url:?}");
        }
    }

    #[test]
    fn repositories_are_fetched_by_four_protocols() {
        for url in [
            "https://example.org/x.git",
            "http://me@127.0.0.1:1/it's $HOME/x",
            "git://example.org/x",
            "ssh://git@example.org:22/~/x",
            "git@example.org:x/y.git",
            "example.org:x",
            "me.and-you@h:/srv/x",
        ] {
            assert_eq!(GitUrl::parse(url).map(|url| url.to_string()), Ok(url.to_owned()));
        }
        let own = [
            "ssh://-oProxyCommand=x/y",
            "ssh://%2doProxyCommand=x/y",
            "ssh://a%2f-x@h/y",
            "ssh://-x@h/y",
            "git://h%0ax/y",
            "https://h/%0a",
            "https://h/%0D",
            "https://h/%00",
            "h:-x",
            "h:",
            "-x@h:y",
            "a@-x:y",
            "a b:y",
            "$(x):y",
        ];
        for url in MALFORMED.iter().chain(&own) {
            assert!(matches!(GitUrl::parse(url), Err(Refused::Malformed(_))), "{url:?}");
        }
        for url in [
            "file:///srv/x",
            "FILE:///srv/x",
            "/srv/x",
            "./x",
            "../x",
            "x",
            "~/x",
            "./a:b",
            "ext::sh -c x",
            "fd::17",
            "[::1]:y",
            "https::file:///srv/x",
            "ext::x://y",
            "ftp://h/x",
            "git+ssh://h/x",
            "svn://h/x",
        ] {
            assert!(
                matches!(GitUrl::parse(url), Err(Refused::NotFetched(_))),
                "{url:?}: {:?}",
                GitUrl::parse(url)
            );
        }
    }
}
