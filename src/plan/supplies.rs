//! What a build gets of the host besides files to build from: certificates, proxies, secrets. The plan knows where they
//! come from; their contents are read when it starts, and given to the agent.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use super::RunnerKind;

/// Where a guest keeps its bundle, for tools that must be told.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What tells them: OpenSSL and uv, Node, pip's own bundle, Python's requests.
const BUNDLE_VARIABLES: [&str; 4] =
    ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE"];

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Supplies {
    /// The host's bundle of certificates; `None` leaves the guest's alone.
    pub certificates: Option<PathBuf>,
    /// The host's proxies.
    pub proxies: Proxies,
    /// `--secret`.
    pub secrets: Vec<SecretSource>,
}

/// Proxies, as the variables of the same names have them; empty where there is none.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Proxies {
    /// For http.
    pub http: String,
    /// For https.
    pub https: String,
    /// For everything else.
    pub all: String,
    /// What is reached without one.
    pub none_for: String,
}

/// A secret, as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretSource {
    /// The name of its file in the guest.
    pub id: String,
    /// Where it comes from.
    pub from: SecretFrom,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretFrom {
    /// A file of the host.
    File(PathBuf),
    /// A variable of kiln's environment.
    Variable(String),
}

impl fmt::Display for SecretFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "the variable {name}"),
        }
    }
}

impl Supplies {
    /// Those that a build in this backend can use; what it cannot is noted, with a way out.
    pub(super) fn reachable(&self, runner: RunnerKind, notes: &mut Vec<String>) -> Self {
        let mut supplies = self.clone();
        if runner == RunnerKind::Bubblewrap {
            // A sandbox has the host's network, its loopback too.
            return supplies;
        }
        let Proxies { http, https, all, none_for: _ } = &mut supplies.proxies;
        for (name, proxy) in [("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("ALL_PROXY", all)] {
            if is_loopback(proxy) {
                notes.push(format!(
                    "proxy: {name} names this host's own loopback, which the build does not reach: it is not passed; \
                     have the proxy listen on an address of the network too, and name that"
                ));
                proxy.clear();
            }
        }
        if self.proxies != Proxies::default() && supplies.proxies.is_empty() {
            supplies.proxies.none_for.clear();
        }
        supplies
    }

    /// The variables that lead tools to it; the build file's own win.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let bundle = self.certificates.iter().flat_map(|_| BUNDLE_VARIABLES.map(|name| (name, BUNDLE)));
        let Proxies { http, https, all, none_for } = &self.proxies;
        let proxies = [("http", http), ("https", https), ("all", all), ("no", none_for)];
        let set = proxies.into_iter().filter(|(_, value)| !value.is_empty());
        // Some tools read one spelling, some the other.
        let spelled = set.flat_map(|(name, value)| {
            let name = format!("{name}_proxy");
            [(name.to_uppercase(), value.clone()), (name, value.clone())]
        });
        bundle.map(|(name, value)| (name.to_owned(), value.to_owned())).chain(spelled).collect()
    }
}

impl Proxies {
    /// Whether there is one.
    pub fn is_empty(&self) -> bool {
        [&self.http, &self.https, &self.all].iter().all(|proxy| proxy.is_empty())
    }

    /// Passwords in them: no output may show one.
    pub fn passwords(&self) -> impl Iterator<Item = &str> {
        [&self.http, &self.https, &self.all].into_iter().filter_map(|url| password(url))
    }
}

/// The password of `scheme://user:password@host`.
fn password(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
    Some(user.split_once(':')?.1).filter(|password| !password.is_empty())
}

/// Whether a proxy is on this host's loopback.
fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let host = match place.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// Without passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Without passwords.
impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http, https, all, none_for } = self;
        let named = [("http", http), ("https", https), ("all", all), ("not for", none_for)];
        let mut words = Vec::new();
        for (name, value) in named.into_iter().filter(|(_, value)| !value.is_empty()) {
            let shown = password(value).map_or(value.clone(), |secret| value.replacen(secret, "***", 1));
            words.push(format!("{name} {shown}"));
        }
        if words.is_empty() { f.write_str("(none)") } else { f.write_str(&words.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_come_in_both_spellings_and_never_show_a_password() {
        let proxies = Proxies {
            https: "http://user:pass word@proxy.example:3128/".into(),
            none_for: "localhost,.example".into(),
            ..Proxies::default()
        };
        assert_eq!(
            format!("{proxies:?}"),
            "https http://user:***@proxy.example:3128/, not for localhost,.example"
        );
        assert_eq!(proxies.passwords().collect::<Vec<_>>(), ["pass word"]);
        let supplies = Supplies { proxies, ..Supplies::default() };
        let names: Vec<String> = supplies.variables().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]);
    }

    #[test]
    fn a_proxy_on_loopback_is_passed_to_sandboxes_alone() {
        let loopback =
            ["http://localhost:3128", "127.0.0.1:3128", "http://u:p@[::1]:80/", "socks5://0.0.0.0:1"];
        for url in loopback {
            let proxies = Proxies { https: url.into(), none_for: "x".into(), ..Proxies::default() };
            let supplies = Supplies { proxies, ..Supplies::default() };
            let mut notes = Vec::new();
            assert!(supplies.reachable(RunnerKind::Qemu, &mut notes).variables().is_empty(), "{url}");
            assert_eq!(notes.len(), 1, "{url}");
            assert_eq!(supplies.reachable(RunnerKind::Bubblewrap, &mut notes), supplies);
        }
        for url in
            ["", "http://proxy.example:3128", "http://localhost.example", "http://localhost:x@10.0.0.1:80"]
        {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn certificates_are_pointed_to_only_where_there_are_some() {
        assert!(Supplies::default().variables().is_empty());
        let supplies = Supplies { certificates: Some("/host.pem".into()), ..Supplies::default() };
        assert!(supplies.variables().iter().all(|(_, value)| value == BUNDLE));
    }
}
