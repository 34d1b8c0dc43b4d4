//! The count of writes that are thrown away, on a scripted agent: its lies are bounded, and refused.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use kiln::{
    backend::fake::{Behaviour, Fake, RequestKind},
    cache::{Discarded, WriteOutcome, discarded},
    engine::{Engine, Injected, Interrupts, OnFailure, Outputs},
    event::{Amount, Event, Phases},
    plan::{CACHE, CacheMode, CacheMount, CacheShare, CacheSharing, Plan},
};
use kiln_protocol::{ExitStatus, GuestConfig, Mount};
use tokio::sync::watch;

use crate::{cache::Upper, hostile::archives, plans};

/// A stream of files with these sizes.
fn listed(files: &[(&str, &str)]) -> Vec<u8> {
    let listed = files.iter().fold(Upper::default(), |stream, (path, size)| {
        stream.attribute(kiln_protocol::SIZE.as_bytes(), size).file(path, "")
    });
    listed.end()
}

fn plan(mode: CacheMode, directory: &Path, out: &Path) -> Plan {
    let overlay = Mount::Upper { target: CACHE.into(), path: "/upper".into() };
    let plain = plans::plain();
    let cache = CacheMount::new(directory.into(), mode, CacheShare::Bind, Some(CacheSharing::Shared));
    Plan {
        guest_config: GuestConfig { mounts: vec![overlay], ..plain.guest_config.clone() },
        steps: vec![crate::engine::step(0, None)],
        cache: Some(cache),
        out_dir: out.to_owned(),
        ..plain
    }
}

async fn build(mode: CacheMode, mut fake: Fake) -> (anyhow::Result<()>, WriteOutcome) {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("cache");
    fs::create_dir(&directory).unwrap();
    let (_sender, receiver) = watch::channel(None);
    let plan = plan(mode, &directory, &scratch.path().join("out"));
    let mut sink = |_: Event| {};
    let mut phases = Phases::begin("boot");
    let engine = Engine {
        plan: &plan,
        sink: &mut sink,
        interrupts: Interrupts::new(receiver),
        injected: Injected::default(),
        phases: &mut phases,
    };
    let outcome = engine.build(&mut fake, Outputs::default(), OnFailure::default()).await;
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    (outcome.result, outcome.writes)
}

fn fake(upper: Vec<u8>) -> Fake {
    Fake { archive: Upper::default().end(), upper, ..Fake::default() }
}

fn amounts(expected: &[(&str, u64, u64)]) -> Discarded {
    let amount = |&(name, entries, bytes): &(&str, u64, u64)| (name.to_owned(), Amount { entries, bytes });
    Discarded { amounts: expected.iter().map(amount).collect(), more: false }
}

#[tokio::test]
async fn what_is_thrown_away_is_counted_of_builds_that_succeed_and_that_fail() {
    // Files that no commit would keep do not count.
    let upper = listed(&[("pip/a", "5"), ("pip/b/c", "6"), ("top", "7"), ("npm/_logs/x", "8")]);
    let expected = WriteOutcome::Discarded(amounts(&[(".", 1, 7), ("pip", 2, 11)]));
    let fails = || HashMap::from([(0, Behaviour::Ends(Vec::new(), ExitStatus::Code(1)))]);
    for (mode, steps, expected) in [
        (CacheMode::Discard, HashMap::new(), &expected),
        (CacheMode::Discard, fails(), &expected),
        (CacheMode::Commit, fails(), &expected),
        (CacheMode::Commit, HashMap::new(), &WriteOutcome::Lost),
        (CacheMode::Rw, HashMap::new(), &WriteOutcome::Lost),
        (CacheMode::Ro, fails(), &WriteOutcome::Lost),
    ] {
        let succeeds = steps.is_empty();
        let (result, writes) = build(mode, Fake { steps, ..fake(upper.clone()) }).await;
        assert_eq!((result.is_ok(), &writes), (succeeds, expected), "{mode:?}");
    }
}

#[tokio::test]
async fn an_agent_that_lies_about_it_costs_no_build() {
    for (reason, stream) in archives() {
        let whole = stream.end();
        for upper in [whole.clone(), whole[..whole.len() - 1024].to_vec(), Vec::new()] {
            let (result, writes) = build(CacheMode::Discard, fake(upper)).await;
            assert!(
                result.is_ok() && matches!(writes, WriteOutcome::Lost | WriteOutcome::Discarded(_)),
                "{reason}: {result:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_list_it_is_not_waited_for() {
    let silent = Fake { ignores: Some(RequestKind::ExportUpper), ..fake(Vec::new()) };
    let begun = tokio::time::Instant::now();
    let (result, writes) = build(CacheMode::Discard, silent).await;
    assert_eq!((result.is_ok(), writes), (true, WriteOutcome::Lost));
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[test]
fn names_and_numbers_have_bounds_and_what_was_copied_up_is_nothing_new() {
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir(cache.path().join("pip")).unwrap();
    for name in ["same", "other"] {
        let file = fs::File::create(cache.path().join("pip").join(name)).unwrap();
        std::io::Write::write_all(&mut &file, b"12345").unwrap();
        // As the stream says of all of its files.
        let seconds = if name == "same" { 1_000_000_000 } else { 1 };
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }
    let huge = u64::MAX.to_string();
    let found = |stream: &[u8]| discarded(cache.path(), stream).unwrap();
    let stream = listed(&[
        ("pip/same", "5"),
        ("pip/other", "5"),
        ("pip/huge", &huge),
        ("pip/none", "x"),
        (&format!("{}/x", "n".repeat(300)), "1"),
    ]);
    assert_eq!(found(&stream), amounts(&[("pip", 3, (1 << 53) + 5)]));
    let names: Vec<String> = (0..100).map(|n| format!("{n:02}/x")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let Discarded { amounts, more } = found(&listed(&many));
    assert_eq!((amounts.len(), more), (64, true));
}
