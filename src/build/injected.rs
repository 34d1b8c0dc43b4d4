//! Certificates and secrets for the agent: read once when a build begins, before it waits for anything else.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};
use kiln_protocol::Secret;
use tokio::sync::oneshot;

use super::source;
use crate::{
    engine::{Injected, Interrupts, SHORTEST_REDACTED},
    env::Env,
    event::{Event, Sink},
    exit::Failure,
    plan::{Certificates, HostSettings, Proxies},
    secret, trust,
};

/// Reads the sources that the plan names. A secret may be read from a pipe that has no writer yet: a signal ends the wait.
pub(super) async fn load(
    host_settings: &HostSettings,
    env: &Env,
    sink: &mut dyn Sink,
    interrupts: &mut Interrupts,
) -> Result<Injected> {
    let (sender, injected) = oneshot::channel();
    let (host_settings, env, proxies) = (host_settings.clone(), env.clone(), host_settings.proxies.clone());
    // This thread is not joined: it ends with kiln.
    thread::spawn(move || sender.send(read(&host_settings, &env)));
    let injected = tokio::select! {
        biased;
        error = interrupts.refuse() => return Err(error),
        injected = injected => injected.context("the reader of secrets panicked")??,
    };
    for text in too_short(&injected, &proxies) {
        sink.emit(Event::Note { text });
    }
    Ok(injected)
}

/// A line for each secret that is too short to be redacted in output.
fn too_short(injected: &Injected, proxies: &Proxies) -> BTreeSet<String> {
    let secrets = injected.secrets.iter().map(|Secret { id, value }| (format!("secret {id}"), value.clone()));
    let passwords = proxies.secrets().map(|(name, secret)| (format!("the password of {name}"), secret));
    let short = secrets.chain(passwords).filter(|(_, value)| value.trim_ascii().len() < SHORTEST_REDACTED);
    short.map(|(what, _)| format!("{what}: too short to be masked in output")).collect()
}

fn read(host_settings: &HostSettings, env: &Env) -> Result<Injected, Failure> {
    let HostSettings { certificates, unused: _, proxies: _, secrets } = host_settings;
    let trust = match certificates {
        Some(Certificates::Hosts(_, trust) | Certificates::Named(_, Some(trust))) => Some(trust.clone()),
        Some(Certificates::Named(path, None)) => Some(trust::load(path)?),
        None => None,
    };
    let secrets = secrets.iter().map(|source| secret::load(source, env)).collect::<Result<Vec<_>, _>>()?;
    Ok(Injected::new(trust, secrets))
}

/// A line for each file of a secret that is hidden from the source.
pub(super) fn hidden(host_settings: &HostSettings, source: Option<&Path>) -> Vec<String> {
    let below = |path| source::below(source?, path);
    let note = |path: PathBuf| format!("{}: hidden from the build, since it is a secret", path.display());
    host_settings.secret_files().filter_map(below).map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_too_short_to_be_masked_are_reported() {
        let proxies = Proxies {
            http: "http://u:p%40@proxy".into(),
            https: "http://u:long@proxy".into(),
            ..Proxies::default()
        };
        let secret = |id: &str, value: &str| Secret { id: id.into(), value: value.into() };
        let injected = Injected::new(None, vec![secret("a", "abc\n"), secret("b", "abcd\n")]);
        let notes: Vec<String> = too_short(&injected, &proxies).into_iter().collect();
        let expected = ["secret a", "the password of HTTP_PROXY"];
        assert_eq!(notes, expected.map(|what| format!("{what}: too short to be masked in output")));
    }
}
