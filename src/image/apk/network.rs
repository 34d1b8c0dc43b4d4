//! How this host reaches repositories: proxies, logins and certificates, from kiln's environment.
//!
//! A login is sent to its own host only; neither plans nor messages have it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{env::Env, exit::Failure, trust};

use super::url;

/// The variable with a login, as apko reads it.
const HTTP_AUTH: &str = "HTTP_AUTH";

/// How slow a transfer may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slowest {
    /// In each such period …
    pub(super) period: Duration,
    /// … so many bytes must come.
    pub(super) bytes: u64,
}

impl Default for Slowest {
    /// A thousand bytes a second: half of what a modem had. A server that sends a byte now and then would hold a build forever.
    fn default() -> Self {
        Self { period: Duration::from_secs(30), bytes: 30_000 }
    }
}

/// The settings of downloads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    /// Whether only what is already in the cache is used.
    pub(crate) offline: bool,
    /// PEM certificates of authorities.
    pub(super) authorities: Arc<str>,
    pub(super) slowest: Slowest,
    proxies: Proxies,
    logins: Logins,
}

/// The logins that are known, for all downloads of a command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logins(Arc<Mutex<Vec<Login>>>);

/// Proxies by the scheme of what is fetched.
#[derive(Clone, Default)]
struct Proxies {
    http: Option<String>,
    https: Option<String>,
    /// Hosts without one.
    direct: Vec<String>,
}

/// A name and password for one host.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// A host, with any scheme and port; or scheme, host and port.
    place: String,
    pub(super) name: String,
    pub(super) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.place)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may have a password.
        write!(f, "Proxies(http: {}, https: {})", self.http.is_some(), self.https.is_some())
    }
}

impl Network {
    /// The settings of an environment; `SSL_CERT_FILE` names the bundle of certificates, else it is the system's.
    ///
    /// # Errors
    /// A usage failure for variables that are not UTF-8, or a login of another form.
    pub(crate) fn of(env: &Env, logins: &Logins, offline: bool) -> Result<Self, Failure> {
        let first = |names: &[&str]| -> Result<Option<String>, Failure> {
            names.iter().find_map(|name| env.text(name).transpose()).transpose()
        };
        let all = first(&["all_proxy", "ALL_PROXY"])?;
        let direct = first(&["no_proxy", "NO_PROXY"])?.unwrap_or_default();
        let proxies = Proxies {
            http: first(&["http_proxy", "HTTP_PROXY"])?.or_else(|| all.clone()),
            https: first(&["https_proxy", "HTTPS_PROXY"])?.or(all),
            direct: direct.split(',').map(|host| host.trim().to_ascii_lowercase()).collect(),
        };
        let (bundle, remarks) = trust::find(env);
        for remark in remarks {
            tracing::warn!("{remark}");
        }
        let authorities = bundle.map_or(String::new(), |(_, trust)| trust.bundle).into();
        let slowest = Slowest::default();
        let network = Self { offline, authorities, slowest, proxies, logins: logins.clone() };
        if let Some(text) = env.text(HTTP_AUTH)? {
            network.add(login(&text)?);
        }
        Ok(network)
    }

    /// Takes the name and password off a URL; later requests to its scheme, host and port have them.
    pub(super) fn take_login(&self, address: &str) -> String {
        let (plain, login) = url::split_userinfo(address);
        if let (Some((name, password)), Some(place)) = (login, url::origin(&plain)) {
            self.add(Login { place, name, password });
        }
        plain
    }

    fn add(&self, login: Login) {
        let mut logins = self.logins.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !logins.contains(&login) {
            logins.push(login);
        }
    }

    /// The login for a URL: the last that was given for its place, else for its host.
    pub(super) fn login(&self, address: &str) -> Option<Login> {
        let places = [url::origin(address)?, url::host(address)?];
        let logins = self.logins.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |place: &String| logins.iter().rev().find(|login| login.place == *place).cloned();
        places.iter().find_map(of)
    }

    /// The proxy for a URL.
    pub(super) fn proxy(&self, address: &str) -> Option<&str> {
        let proxy = match address.get(..8) {
            Some(start) if start.eq_ignore_ascii_case("https://") => &self.proxies.https,
            _ => &self.proxies.http,
        };
        let host = url::host(address)?;
        let is_direct = |entry: &String| {
            let entry = entry.trim_start_matches("*.").trim_start_matches('.');
            let below = host.strip_suffix(entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            entry == "*" || (!entry.is_empty() && below)
        };
        proxy.as_deref().filter(|_| !self.proxies.direct.iter().any(is_direct))
    }
}

/// `basic:HOST:NAME:PASSWORD`; the message of a fault does not repeat it.
fn login(text: &str) -> Result<Login, Failure> {
    let mut fields = text.splitn(4, ':');
    match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some("basic"), Some(host), Some(name), Some(password)) if !host.is_empty() => {
            Ok(Login { place: host.to_ascii_lowercase(), name: name.into(), password: password.into() })
        }
        _ => Err(Failure::usage(
            format!("{HTTP_AUTH} is not a login"),
            "Write basic:HOST:NAME:PASSWORD, or unset it.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(variables: &[(&str, &str)]) -> Network {
        let env: Env = variables.iter().copied().collect();
        Network::of(&env, &Logins::default(), false).expect("valid")
    }

    #[test]
    fn a_login_is_for_its_host_only() {
        let network = network(&[("HTTP_AUTH", "basic:H.example.org:me:p:w")]);
        let login = network.login("https://h.example.org:8443/x").expect("its host");
        assert_eq!((login.name.as_str(), login.password.as_str()), ("me", "p:w"));
        assert_eq!(network.login("https://other.example.org/h.example.org"), None);
        assert_eq!(network.take_login("https://u:secret@other.example.org/x"), "https://other.example.org/x");
        assert_eq!(
            network.login("https://other.example.org/y").map(|login| login.name).as_deref(),
            Some("u")
        );
        for elsewhere in ["http://other.example.org/y", "https://other.example.org:8443/y"] {
            assert_eq!(network.login(elsewhere), None, "{elsewhere}: another service of the host");
        }
        assert!(!format!("{network:?}").contains("secret") && !format!("{network:?}").contains("p:w"));
    }

    #[test]
    fn a_login_of_another_form_is_refused_without_being_shown() {
        for text in ["bearer:x:y:secret", "secret", "basic::a:secret", "basic:h:secret"] {
            let env: Env = [("HTTP_AUTH", text)].into_iter().collect();
            let failure = Network::of(&env, &Logins::default(), false).expect_err("refused");
            assert!(!failure.what.contains("secret") && !failure.way_out.contains("secret"), "{failure}");
        }
    }

    #[test]
    fn proxies_are_by_scheme_and_not_for_hosts_that_are_direct() {
        let network = network(&[
            ("https_proxy", "http://p:1"),
            ("HTTP_PROXY", "http://p:2"),
            ("no_proxy", "localhost, .in.example.org,example.net"),
        ]);
        for (address, proxy) in [
            ("https://a.example.org/x", Some("http://p:1")),
            ("http://a.example.org/x", Some("http://p:2")),
            ("https://a.in.example.org/x", None),
            ("https://in.example.org/x", None),
            ("https://notin.example.org/x", Some("http://p:1")),
            ("https://example.net:8443/x", None),
            ("http://localhost:1/x", None),
        ] {
            assert_eq!(network.proxy(address), proxy, "{address}");
        }
    }
}
