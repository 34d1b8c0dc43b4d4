//! `--host-certs`, `--proxy`, `--secret`: from the command line and the environment to the host settings of a build.

use std::os::unix::fs::FileTypeExt;

use anyhow::Result;

use crate::{
    cli::{HostCerts, MachineArgs, ProxyOption},
    engine::SHORTEST_REDACTED,
    env::Env,
    exit::Failure,
    plan::{Certificates, HostSettings, Network, Proxies, RunnerKind, Slirp},
    trust,
};

/// The sources of certificates, proxies and secrets. Files are read later, except to check certificates.
pub(super) fn host_settings(args: &MachineArgs, env: &Env) -> Result<HostSettings> {
    let secrets = args.secret.clone();
    for (at, source) in secrets.iter().enumerate() {
        if secrets[..at].iter().any(|other| other.id == source.id) {
            let what = format!("--secret: id {} is given twice", source.id);
            return Err(Failure::usage(what, "give each secret an id of its own").into());
        }
    }
    let (certificates, unused) = match (&args.host_certs, args.network) {
        (HostCerts::Off, _) | (HostCerts::Auto, Network::Off) => (None, Vec::new()),
        (HostCerts::Auto, Network::On) => {
            let (found, unused) = trust::find(env);
            (found.map(|(path, trust)| Certificates::Hosts(path, trust)), unused)
        }
        (HostCerts::File(path), _) => {
            let path = std::path::absolute(path)?;
            // A pipe may have no writer yet.
            let is_pipe = path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
            let trust = if is_pipe { None } else { Some(trust::load(&path)?) };
            (Some(Certificates::Named(path, trust)), Vec::new())
        }
    };
    let proxies = match (args.proxy, args.network) {
        (ProxyOption::Auto, Network::On) => proxies(env)?,
        (ProxyOption::Off, _) | (ProxyOption::Auto, Network::Off) => Proxies::default(),
    };
    Ok(HostSettings { certificates, unused, proxies, secrets })
}

/// The host's file of name servers and domains.
const RESOLVER: &str = "/etc/resolv.conf";

/// The network of a microVM: `QEMU_NET_CIDR`; domains from `QEMU_DNS_SEARCH`, else those that the host searches.
pub(super) fn slirp(env: &Env) -> Result<Slirp, Failure> {
    let named = env.text("QEMU_DNS_SEARCH")?;
    let search = match &named {
        Some(list) => list.split(',').map(|name| name.trim().to_owned()).collect(),
        // A host without such a file searches nothing.
        None => searched(&std::fs::read_to_string(RESOLVER).unwrap_or_default()),
    };
    Slirp::new(env.text("QEMU_NET_CIDR")?.as_deref(), search)
}

/// The domains of a `resolv.conf`: the last such line counts; names that a guest cannot use are left out.
fn searched(text: &str) -> Vec<String> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let last = lines.rfind(|words| matches!(words.first(), Some(&"search" | &"domain")));
    let usable =
        |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && *name != ".";
    last.unwrap_or_default().into_iter().skip(1).filter(usable).map(str::to_owned).collect()
}

/// The variables that most tools read, in the one spelling or the other.
fn proxies(env: &Env) -> Result<Proxies> {
    let either = |name: &str| -> Result<String> {
        let lower = env.text(&format!("{name}_proxy"))?;
        Ok(lower
            .map_or_else(|| env.text(&format!("{}_PROXY", name.to_uppercase())), |text| Ok(Some(text)))?
            .unwrap_or_default())
    };
    let proxies = Proxies {
        http: either("http")?,
        https: either("https")?,
        all: either("all")?,
        none_for: String::new(),
    };
    // Exceptions mean nothing without a proxy.
    if proxies.is_empty() {
        return Ok(proxies);
    }
    Ok(Proxies { none_for: either("no")?, ..proxies })
}

/// For `kiln plan`: a line for each source.
pub(super) fn describe(host_settings: &HostSettings, runner: RunnerKind) -> String {
    let HostSettings { certificates, unused: _, proxies, secrets } = host_settings;
    let mut text = String::new();
    let certificates =
        certificates.as_ref().map_or("(the guest's own)".into(), |from| from.path().display().to_string());
    text += &format!("certificates {certificates}\n");
    text += &format!("proxies      {proxies}\n");
    for port in host_settings.relayed(runner) {
        text += &format!("relay        port {port} of the build's loopback leads to that of this host's\n");
    }
    for source in secrets {
        text += &format!("secret       {} from {}\n", source.id, source.from);
    }
    text
}

/// A value of a variable, without passwords of proxies.
pub(super) fn without_passwords(host_settings: &HostSettings, value: &str) -> String {
    let HostSettings { proxies, .. } = host_settings;
    proxies.hidden(value).unwrap_or_else(|| {
        let secrets = proxies.secrets().filter_map(|(_, secret)| String::from_utf8(secret).ok());
        let long = secrets.filter(|secret| secret.len() >= SHORTEST_REDACTED);
        long.fold(value.to_owned(), |text, secret| text.replace(&secret, "***"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_search_line_counts() {
        let text = "search old.example\nnameserver 10.0.0.1\nsearch a.example b.example .\n# search no\n";
        assert_eq!(searched(text), ["a.example", "b.example"]);
        assert!(searched("nameserver 10.0.0.1\n").is_empty());
    }

    #[test]
    fn a_malformed_network_is_a_usage_error() {
        let env: Env = [("QEMU_NET_CIDR", "10.0.2.0/33")].into_iter().collect();
        assert_eq!(slirp(&env).expect_err("malformed").code, crate::exit::Code::Usage);
        let env: Env = [("QEMU_DNS_SEARCH", "corp.example, example")].into_iter().collect();
        let expected = Slirp::new(None, vec!["corp.example".into(), "example".into()]).expect("valid");
        assert_eq!(slirp(&env), Ok(expected));
    }
}
