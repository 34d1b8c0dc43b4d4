//! The engine in mode commit, on a scripted agent: the writes of a build are kept if all of it succeeds, and dropped otherwise.

use std::{collections::HashMap, fs, path::Path, sync::Arc, time::Duration};

use kiln::{
    backend::fake::{Behaviour, Fake},
    cache::{CommitLimit, LockMode, Request, WriteOutcome, try_acquire},
    engine::{BuildOutcome, Commit, Engine, Injected, Interrupts, OnFailure, Outputs},
    event::{Event, Phases},
    home::Home,
    plan::{CACHE, CacheMode, CacheMount, Plan, PlannedStep},
};
use kiln_protocol::{ExitStatus, GuestConfig, Mount, Stdin, Step, User};
use tokio::sync::watch;

use crate::{cache::Upper, hostile::archives, plans};

fn plan(directory: &Path, out: &Path) -> Plan {
    let overlay = Mount::Overlay {
        lower: vec!["/shares/cache".into()],
        upper: "/scratch/cache/upper".into(),
        work: "/scratch/cache/work".into(),
        target: format!("/newroot{CACHE}"),
        options: String::new(),
        nodev: false,
        owner: (0, 0),
    };
    let plain = plans::plain();
    let step = Step {
        index: 0,
        argv: vec!["/bin/sh".into()],
        files: Vec::new(),
        env: Vec::new(),
        cwd: "/".into(),
        user: User::Root,
        stdin: Stdin::Null,
        timeout_ms: None,
    };
    let cache = plain.cache.clone().map(|cache| {
        CacheMount::new(directory.to_owned(), CacheMode::Commit, cache.share, Some(cache.sharing))
    });
    Plan {
        cache,
        guest_config: GuestConfig { mounts: vec![overlay], ..plain.guest_config.clone() },
        steps: vec![PlannedStep {
            name: "work".into(),
            package: "hello".into(),
            origin: kiln::compile::Origin::default(),
            used_at: None,
            fragment: String::new(),
            directory: String::new(),
            step,
        }],
        out_dir: out.to_owned(),
        ..plain
    }
}

async fn build(fake: &mut Fake, limit: CommitLimit) -> (tempfile::TempDir, anyhow::Result<()>, WriteOutcome) {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("cache");
    fs::create_dir(&directory).unwrap();
    let home = Home::at(scratch.path().join("home"));
    let plan = plan(&directory, &scratch.path().join("out"));
    let request =
        Request { directory, lock_mode: LockMode::Shared, who: "a test".into(), limit: Duration::ZERO };
    let lease = Arc::new(try_acquire(&home, &request).unwrap().unwrap());
    let (_sender, receiver) = watch::channel(None);
    let mut sink = |_: Event| {};
    let mut phases = Phases::begin("boot");
    let engine = Engine {
        plan: &plan,
        sink: &mut sink,
        interrupts: Interrupts::new(receiver),
        injected: Injected::default(),
        phases: &mut phases,
    };
    let outputs = Outputs { commit: Some(Commit { lease, limit }), ..Outputs::default() };
    let outcome = engine.build(fake, outputs, OnFailure::default()).await;
    let BuildOutcome { result, writes, .. } = outcome;
    (scratch, result, writes)
}

fn fake() -> Fake {
    Fake {
        archive: Upper::default().end(),
        upper: Upper::default().dir("pip/", 0o755).file("pip/x", "new").end(),
        ..Fake::default()
    }
}

#[tokio::test]
async fn a_build_that_succeeds_keeps_what_it_wrote() {
    let (scratch, result, writes) = build(&mut fake(), CommitLimit::default()).await;
    result.unwrap();
    let WriteOutcome::Committed(kept) = writes else { panic!("{writes:?}") };
    assert_eq!(kept.gains["pip"].entries, 1);
    assert_eq!(fs::read(scratch.path().join("cache/pip/x")).unwrap(), b"new");
}

#[tokio::test]
async fn a_build_that_fails_keeps_nothing() {
    // That of a step that fails is counted.
    for (behaviour, is_counted) in
        [(Behaviour::Ends(Vec::new(), ExitStatus::Code(1)), true), (Behaviour::Dies, false)]
    {
        let mut fake = Fake { steps: HashMap::from([(0, behaviour)]), ..fake() };
        let (scratch, result, writes) = build(&mut fake, CommitLimit::default()).await;
        assert!(result.is_err());
        assert_eq!(matches!(&writes, WriteOutcome::Discarded(found) if found.sum().entries == 1), is_counted);
        assert_eq!(matches!(writes, WriteOutcome::Lost), !is_counted);
        assert_eq!(fs::read_dir(scratch.path().join("cache")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn what_is_refused_fails_the_build_and_what_is_too_much_does_not() {
    let mut hostile = Fake { upper: Upper::default().file("../x", "x").end(), ..fake() };
    let (scratch, result, writes) = build(&mut hostile, CommitLimit::default()).await;
    let error = result.unwrap_err();
    assert_eq!(kiln::exit::code_of(&error), kiln::exit::Code::Cache);
    assert_eq!(writes, WriteOutcome::Refused(error.to_string()));
    assert_eq!(fs::read_dir(scratch.path().join("cache")).unwrap().count(), 0);
    let (scratch, result, writes) = build(&mut fake(), CommitLimit { bytes: 1, entries: 1 }).await;
    result.unwrap();
    assert!(matches!(writes, WriteOutcome::TooMuch(_)), "{writes:?}");
    assert_eq!(fs::read_dir(scratch.path().join("cache")).unwrap().count(), 0);
}

#[tokio::test]
async fn no_stream_of_an_agent_that_lies_gets_out_of_the_cache() {
    for (reason, stream) in archives() {
        let whole = stream.end();
        for upper in [whole.clone(), whole[..whole.len() - 1024].to_vec(), Vec::new()] {
            let mut fake = Fake { upper, ..fake() };
            let (scratch, result, _) = build(&mut fake, CommitLimit::default()).await;
            if let Err(error) = result {
                assert_eq!(kiln::exit::code_of(&error), kiln::exit::Code::Cache, "{reason}: {error:#}");
                assert_eq!(fs::read_dir(scratch.path().join("cache")).unwrap().count(), 0, "{reason}");
            }
            let names = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let known = ["cache", "home", "out"];
            assert!(names.into_iter().all(|name| known.iter().any(|known| name == *known)), "{reason}");
        }
    }
}
