//! Settings of the host for a build: certificates, proxies, secrets. The plan has their sources. Their contents, except the
//! host's own certificates, are read when the build starts, and sent to the agent.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use kiln_protocol::{IfExists, TextFile, Trust};
use serde::{Serialize, Serializer};

use super::{RunnerKind, loopback::Loopback, userinfo::Userinfo};

/// The guest's bundle of certificates.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The variables that name a bundle: for OpenSSL and uv, Node, pip, Python's requests.
const BUNDLE_VARIABLES: [&str; 4] =
    ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE"];

/// The script that `mvn` sources when it starts.
const MAVEN_RC: &str = "/etc/mavenrc";
/// Maven reads no variable for proxies. This script turns the variables into properties of Java when Maven runs: so the variables
/// of a build file win, and the plan has no password.
const MAVEN_PROXIES: &str = include_str!("mavenrc.sh");

/// The settings of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HostSettings {
    /// The certificates for the guest; with `None` it keeps its own.
    pub certificates: Option<Certificates>,
    /// Lines for the user on certificates of the host that are not used.
    pub unused: Vec<String>,
    /// The host's proxies.
    pub proxies: Proxies,
    /// `--secret`.
    pub secrets: Vec<SecretSource>,
}

/// The source of certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificates {
    /// The host's own bundle, and its usable part.
    Hosts(PathBuf, #[serde(skip)] Trust),
    /// A file that the user names: each certificate must be valid. A pipe is not read before the build begins.
    #[serde(serialize_with = "only_path")]
    Named(PathBuf, Option<Trust>),
}

fn only_path<S: Serializer>(path: &Path, _: &Option<Trust>, serializer: S) -> Result<S::Ok, S::Error> {
    path.serialize(serializer)
}

impl Certificates {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Hosts(path, _) | Self::Named(path, _) => path,
        }
    }
}

/// Proxies, as in the variables of the same names; empty if not set.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Proxies {
    /// For http.
    pub http: String,
    /// For https.
    pub https: String,
    /// For everything else.
    pub all: String,
    /// The hosts that are reached without a proxy.
    pub none_for: String,
}

/// A secret, as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretSource {
    /// The name of its file in the guest.
    pub id: String,
    /// Its source.
    pub from: SecretFrom,
}

/// The source of a secret.
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

impl HostSettings {
    /// The settings that a build in this backend can use. Those that it cannot use have a note with a way out.
    pub(super) fn reachable(&self, runner: RunnerKind, notes: &mut Vec<String>) -> Self {
        let mut host_settings = self.clone();
        notes.extend(self.unused.iter().cloned());
        for (name, proxy) in host_settings.proxies.each_mut() {
            let Some(loopback) = Loopback::of(proxy) else { continue };
            if runner.traits().host_loopback {
                *proxy = loopback.shared().unwrap_or_else(|| proxy.clone());
            } else if let Some(relayed) = loopback.relayed() {
                *proxy = relayed;
            } else {
                notes.push(format!(
                    "proxy: {name} is not passed to the build: only ports of 127.0.0.1 are relayed from this host's loopback; \
                     write 127.0.0.1 and its port"
                ));
                proxy.clear();
            }
        }
        if self.proxies != Proxies::default() && host_settings.proxies.is_empty() {
            host_settings.proxies.none_for.clear();
        }
        host_settings
    }

    /// The ports of the build's loopback that are relayed to the same ports of the host's loopback: those of its proxies.
    pub fn relayed(&self, runner: RunnerKind) -> Vec<u16> {
        if runner.traits().host_loopback {
            return Vec::new();
        }
        let ports = self.proxies.on_loopback().filter_map(|loopback| loopback.port);
        ports.collect::<BTreeSet<u16>>().into_iter().collect()
    }

    /// The names of loopback that the build's `/etc/hosts` must have, besides those of every build.
    pub(super) fn loopback_names(&self) -> BTreeSet<String> {
        let places: Vec<Loopback<'_>> = self.proxies.on_loopback().collect();
        let names = places.iter().filter_map(Loopback::name).filter(|name| *name != "localhost");
        names.map(str::to_owned).collect()
    }

    /// Files of the host that are secrets: they are hidden from the build's source.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        self.secrets.iter().filter_map(|secret| match &secret.from {
            SecretFrom::File(path) => Some(path.as_path()),
            SecretFrom::Variable(_) => None,
        })
    }

    /// The files for tools that do not read the variables.
    pub(super) fn files(&self) -> Option<TextFile> {
        let has_proxies = !self.proxies.is_empty();
        // The image's own file comes first, and may set MAVEN_OPTS.
        let file = || TextFile {
            path: MAVEN_RC.into(),
            text: MAVEN_PROXIES.into(),
            if_exists: IfExists::Append,
            mode: 0o644,
        };
        has_proxies.then(file)
    }

    /// The variables for tools. Those of the build file win over them.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let bundle = self.certificates.iter().flat_map(|_| BUNDLE_VARIABLES.map(|name| (name, BUNDLE)));
        let Proxies { http, https, all, none_for } = &self.proxies;
        let proxies = [("http", http), ("https", https), ("all", all), ("no", none_for)];
        let set = proxies.into_iter().filter(|(_, value)| !value.is_empty());
        // Some tools read upper case, some lower case.
        let spelled = set.flat_map(|(name, value)| {
            let name = format!("{name}_proxy");
            [(name.to_uppercase(), value.clone()), (name, value.clone())]
        });
        bundle.map(|(name, value)| (name.to_owned(), value.to_owned())).chain(spelled).collect()
    }
}

impl Proxies {
    fn each_mut(&mut self) -> [(&'static str, &mut String); 3] {
        let Self { http, https, all, none_for: _ } = self;
        [("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("ALL_PROXY", all)]
    }

    fn on_loopback(&self) -> impl Iterator<Item = Loopback<'_>> {
        [&self.http, &self.https, &self.all].into_iter().filter_map(|proxy| Loopback::of(proxy))
    }

    /// Whether no proxy is set.
    pub fn is_empty(&self) -> bool {
        [&self.http, &self.https, &self.all].iter().all(|proxy| proxy.is_empty())
    }

    fn userinfos(&self) -> impl Iterator<Item = (&'static str, Userinfo<'_>)> {
        let Self { http, https, all, none_for: _ } = self;
        let named = [("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("ALL_PROXY", all)];
        named.into_iter().filter_map(|(name, url)| Some((name, Userinfo::of(url)?)))
    }

    /// Passwords and tokens with the names of their variables, for redaction of output.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        self.userinfos().flat_map(|(name, userinfo)| userinfo.secrets().map(|secret| (name, secret)))
    }

    /// Users with their passwords, which a request to a proxy has in base64.
    pub fn logins(&self) -> impl Iterator<Item = Vec<u8>> {
        self.userinfos().map(|(_, userinfo)| userinfo.login())
    }

    /// The value of a variable with its secret redacted, if the value is one of these proxies.
    pub fn hidden(&self, value: &str) -> Option<String> {
        let Self { http, https, all, none_for: _ } = self;
        [http, https, all].iter().any(|url| *url == value).then(|| hidden(value))
    }
}

fn hidden(url: &str) -> String {
    Userinfo::of(url).map_or_else(|| url.to_owned(), |userinfo| userinfo.hidden())
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
            words.push(format!("{name} {}", hidden(value)));
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
        assert!(proxies.secrets().all(|secret| secret == ("HTTPS_PROXY", b"pass word".to_vec())));
        let host_settings = HostSettings { proxies, ..HostSettings::default() };
        let names: Vec<String> = host_settings.variables().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]);
    }

    fn with_https(url: &str) -> HostSettings {
        let proxies = Proxies { https: url.into(), none_for: "x".into(), ..Proxies::default() };
        HostSettings { proxies, ..HostSettings::default() }
    }

    #[test]
    fn a_loopback_proxy_is_relayed_unless_the_build_shares_the_loopback() {
        let (host_settings, mut notes) = (with_https("https://u:p@[::1]:80/"), Vec::new());
        for runner in [RunnerKind::Qemu, RunnerKind::Docker] {
            let reachable = host_settings.reachable(runner, &mut notes);
            assert_eq!(reachable.proxies.https, "https://u:p@127.0.0.1:80/");
            assert_eq!(reachable.relayed(runner), [80]);
        }
        assert_eq!(host_settings.reachable(RunnerKind::Bubblewrap, &mut notes), host_settings);
        assert!(host_settings.relayed(RunnerKind::Bubblewrap).is_empty());
        assert!(notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn a_loopback_name_is_kept_and_resolves_in_every_build() {
        for runner in [RunnerKind::Qemu, RunnerKind::Docker, RunnerKind::Bubblewrap] {
            let reachable = with_https("https://A.LOCALHOST.:3128").reachable(runner, &mut Vec::new());
            assert_eq!(reachable.proxies.https, "https://a.localhost:3128");
            assert_eq!(reachable.loopback_names().into_iter().collect::<Vec<_>>(), ["a.localhost"]);
        }
        assert!(with_https("http://localhost:3128").loopback_names().is_empty());
    }

    #[test]
    fn a_loopback_proxy_that_cannot_be_relayed_is_not_passed() {
        for url in ["http://localhost", "http://127.0.0.2:3128", "http://localhost:0"] {
            let mut notes = Vec::new();
            let reachable = with_https(url).reachable(RunnerKind::Qemu, &mut notes);
            assert!(reachable.variables().is_empty() && notes.len() == 1, "{url}: {notes:?}");
        }
    }

    #[test]
    fn a_proxy_on_another_host_is_passed_unchanged() {
        let host_settings = with_https("http://proxy.example:3128");
        assert_eq!(host_settings.reachable(RunnerKind::Qemu, &mut Vec::new()), host_settings);
        assert!(host_settings.relayed(RunnerKind::Qemu).is_empty());
    }

    #[test]
    fn variables_name_the_bundle_only_with_certificates() {
        assert!(HostSettings::default().variables().is_empty());
        let host_settings = HostSettings {
            certificates: Some(Certificates::Named("/host.pem".into(), None)),
            ..HostSettings::default()
        };
        assert!(host_settings.variables().iter().all(|(_, value)| value == BUNDLE));
    }

    #[test]
    fn a_plan_has_the_path_of_named_certificates_and_not_their_content() {
        let trust = Trust { bundle: "-----BEGIN".into() };
        for trust in [None, Some(trust)] {
            let named = Certificates::Named("/host.pem".into(), trust);
            assert_eq!(serde_json::to_string(&named).expect("serializable"), r#"{"named":"/host.pem"}"#);
        }
    }
}
