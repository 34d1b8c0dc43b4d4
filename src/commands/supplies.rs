//! `--host-certs`, `--proxy`, `--secret`: from the command line and the environment to what a build is given.

use std::{
    collections::BTreeSet,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};
use kiln_protocol::Secret;
use tokio::sync::oneshot;

use super::source;
use crate::{
    cli::{MachineArgs, ProxyChoice, Switch},
    engine::{Gifts, Interrupts, SHORTEST_MASKED},
    env::Env,
    event::{Event, Sink},
    exit::Failure,
    plan::{Certificates, Proxies, RunnerKind, Slirp, Supplies},
    secret, trust,
};

/// Where everything comes from. Files are read later, but for what shows that a word is wrong.
pub(super) fn supplies(args: &MachineArgs, env: &Env) -> Result<Supplies> {
    let secrets = args.secret.iter().map(|text| secret::parse(text)).collect::<Result<Vec<_>, _>>()?;
    for (at, source) in secrets.iter().enumerate() {
        if secrets[..at].iter().any(|other| other.id == source.id) {
            let what = format!("--secret: id {} is given twice", source.id);
            return Err(Failure::usage(what, "give each secret an id of its own").into());
        }
    }
    let (certificates, unused) = match (args.host_certs.as_str(), args.network) {
        ("off", _) | ("auto", Switch::Off) => (None, Vec::new()),
        ("auto", Switch::On) => {
            let (found, unused) = trust::find(env);
            (found.map(|(path, trust)| Certificates::Hosts(path, trust)), unused)
        }
        (path, _) => {
            let path = std::path::absolute(path)?;
            // A pipe can be read once, and somebody may yet have to write to it.
            if !path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
                trust::load(&path)?;
            }
            (Some(Certificates::Named(path)), Vec::new())
        }
    };
    let proxies = match (args.proxy, args.network) {
        (ProxyChoice::Auto, Switch::On) => proxies(env)?,
        (ProxyChoice::Off, _) | (ProxyChoice::Auto, Switch::Off) => Proxies::default(),
    };
    Ok(Supplies { certificates, unused, proxies, secrets })
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

/// The domains of a `resolv.conf`: the last such line counts; what a guest could not use is left out.
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
    // What is not to go through a proxy means nothing without one.
    if proxies.is_empty() {
        return Ok(proxies);
    }
    Ok(Proxies { none_for: either("no")?, ..proxies })
}

/// Reads what the plan names. A secret may come through a pipe that somebody has yet to write to: a signal ends the wait.
pub(super) async fn load(
    supplies: &Supplies,
    env: &Env,
    sink: &mut dyn Sink,
    interrupts: &mut Interrupts,
) -> Result<Gifts> {
    let (sender, gifts) = oneshot::channel();
    let (supplies, env, proxies) = (supplies.clone(), env.clone(), supplies.proxies.clone());
    // A thread that nobody waits for: it ends with kiln.
    thread::spawn(move || sender.send(read(&supplies, &env)));
    let gifts = tokio::select! {
        biased;
        error = interrupts.refuse() => return Err(error),
        gifts = gifts => gifts.context("the reader of secrets panicked")??,
    };
    for text in unmasked(&gifts, &proxies) {
        sink.emit(Event::Note { text });
    }
    Ok(gifts)
}

/// A line for each secret that output can show.
fn unmasked(gifts: &Gifts, proxies: &Proxies) -> BTreeSet<String> {
    let secrets = gifts.secrets.iter().map(|Secret { id, value }| (format!("secret {id}"), value.clone()));
    let passwords = proxies.secrets().map(|(name, secret)| (format!("the password of {name}"), secret));
    let short = secrets.chain(passwords).filter(|(_, value)| value.trim_ascii().len() < SHORTEST_MASKED);
    short.map(|(what, _)| format!("{what}: too short to be masked in output")).collect()
}

fn read(supplies: &Supplies, env: &Env) -> Result<Gifts, Failure> {
    let Supplies { certificates, unused: _, proxies: _, secrets } = supplies;
    let trust = match certificates {
        Some(Certificates::Hosts(_, trust)) => Some(trust.clone()),
        Some(Certificates::Named(path)) => Some(trust::load(path)?),
        None => None,
    };
    let secrets = secrets.iter().map(|source| secret::load(source, env)).collect::<Result<Vec<_>, _>>()?;
    Ok(Gifts::new(trust, secrets))
}

/// A line for each file of the source that is a secret.
pub(super) fn hidden(supplies: &Supplies, source: Option<&Path>) -> Vec<String> {
    let below = |path| source::below(source?, path);
    let say =
        |path: PathBuf| format!("{}: not in the build's copy of the source, as a secret", path.display());
    supplies.secret_files().filter_map(below).map(say).collect()
}

/// For `kiln plan`: lines of where everything comes from.
pub(super) fn describe(supplies: &Supplies, runner: RunnerKind) -> String {
    let Supplies { certificates, unused: _, proxies, secrets } = supplies;
    let mut text = String::new();
    let certificates =
        certificates.as_ref().map_or("(the guest's own)".into(), |from| from.path().display().to_string());
    text += &format!("certificates {certificates}\n");
    text += &format!("proxies      {proxies}\n");
    for port in supplies.relayed(runner) {
        text += &format!("relay        port {port} of the build's loopback leads to that of this host's\n");
    }
    for source in secrets {
        text += &format!("secret       {} from {}\n", source.id, source.from);
    }
    text
}

/// A value of a variable, as it may be shown.
pub(super) fn without_passwords(supplies: &Supplies, value: &str) -> String {
    let Supplies { proxies, .. } = supplies;
    proxies.hidden(value).unwrap_or_else(|| {
        let secrets = proxies.secrets().filter_map(|(_, secret)| String::from_utf8(secret).ok());
        let long = secrets.filter(|secret| secret.len() >= SHORTEST_MASKED);
        long.fold(value.to_owned(), |text, secret| text.replace(&secret, "***"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_short_to_be_masked_is_named() {
        let proxies = Proxies {
            http: "http://u:p%40@proxy".into(),
            https: "http://u:long@proxy".into(),
            ..Proxies::default()
        };
        let secret = |id: &str, value: &str| Secret { id: id.into(), value: value.into() };
        let gifts = Gifts::new(None, vec![secret("a", "abc\n"), secret("b", "abcd\n")]);
        let notes: Vec<String> = unmasked(&gifts, &proxies).into_iter().collect();
        let expected = ["secret a", "the password of HTTP_PROXY"];
        assert_eq!(notes, expected.map(|what| format!("{what}: too short to be masked in output")));
    }

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
