//! What the agent is given besides the plan: read once when a build begins, before it waits for anything else.

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
    engine::{Gifts, Interrupts, SHORTEST_MASKED},
    env::Env,
    event::{Event, Sink},
    exit::Failure,
    plan::{Certificates, Proxies, Supplies},
    secret, trust,
};

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
}
