//! The engine's conduct, on a scripted agent: what it reports, how it ends, what it makes of lies.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use kiln::{
    cache::{Reused, Writes},
    engine::{Engine, Gifts, Interrupt, Interrupts},
    event::{Data, Event, Phases, Status},
    exit::{Code, code_of},
    package::Limits,
    plan::{ArtifactPlan, Plan, PlannedStep},
    runner::fake::{Behaviour, Fake},
};
use kiln_protocol::{ExitStatus, Stdin, Step, Stream, User};
use tokio::sync::watch;

use crate::plans;

fn step(index: u32, timeout: Option<Duration>) -> PlannedStep {
    PlannedStep {
        name: format!("step {index}"),
        package: "hello".into(),
        fragment: "true".into(),
        directory: "/".into(),
        step: Step {
            index,
            argv: vec!["/bin/sh".into(), "-c".into(), "true".into()],
            files: Vec::new(),
            env: Vec::new(),
            cwd: "/".into(),
            user: User::Root,
            stdin: Stdin::Null,
            timeout_ms: timeout.map(|limit| limit.as_millis() as u64),
        },
    }
}

fn plan(out_dir: &Path) -> Plan {
    Plan {
        steps: vec![step(0, None), step(1, None)],
        artifacts: vec![ArtifactPlan { package: "hello".into(), file_stem: "hello-1.0-r0".into() }],
        out_dir: out_dir.to_owned(),
        ..plans::plain()
    }
}

fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind) in [("hello/", tar::EntryType::Directory), ("hello/usr/", tar::EntryType::Directory)] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        tar.append_data(&mut header, name, std::io::empty()).expect("written to memory");
    }
    tar.into_inner().expect("written to memory")
}

struct Ran {
    result: anyhow::Result<()>,
    events: Vec<Event>,
    killed: bool,
}

async fn run_with(plan: &Plan, mut fake: Fake, signal: watch::Receiver<Option<Interrupt>>) -> Ran {
    let mut events = Vec::new();
    let mut sink = |event: Event| events.push(event);
    let mut phases = Phases::begin("boot");
    let mut engine = Engine {
        plan,
        sink: &mut sink,
        interrupts: Interrupts::new(signal),
        gifts: Gifts::default(),
        limits: Limits::default(),
        commit: None,
        writes: Writes::Lost,
        reused: Reused::default(),
        phases: &mut phases,
        console: None,
        keep: None,
        again: "kiln build -i file.yaml".into(),
    };
    let result = engine.run(&mut fake).await;
    Ran { result, events, killed: fake.killed.load(Ordering::Relaxed) }
}

async fn run(plan: &Plan, fake: Fake) -> Ran {
    let (_sender, receiver) = watch::channel(None);
    run_with(plan, fake, receiver).await
}

fn at(step: u32, behaviour: Behaviour) -> Fake {
    Fake { steps: [(step, behaviour)].into(), archive: archive(), ..Fake::default() }
}

#[tokio::test]
async fn a_build_reports_its_output_and_leaves_its_artifact() {
    let out = tempfile::tempdir().expect("a directory can be made");
    // "ü" is cut between two pieces, as a pipe may cut it.
    let pieces =
        vec![(Stream::Stdout, vec![b'a', 0xc3]), (Stream::Stderr, vec![0xff]), (Stream::Stdout, vec![0xbc])];
    let ran = run(&plan(out.path()), at(0, Behaviour::Ends(pieces, ExitStatus::Code(0)))).await;
    ran.result.expect("it succeeds");
    let text: String = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Output { data: Data::Text(text), .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(text, "aü");
    assert!(
        ran.events
            .iter()
            .any(|event| matches!(event, Event::Output { data: Data::Bytes(bytes), .. } if bytes == &[0xff]))
    );
    assert!(out.path().join("hello-1.0-r0.tar.zst").is_file());
    assert!(ran.killed, "a microVM that holds nothing back is not waited for");
}

#[tokio::test]
async fn a_failed_step_ends_the_build_with_its_status() {
    let out = tempfile::tempdir().expect("a directory can be made");
    let ran = run(&plan(out.path()), at(0, Behaviour::Ends(Vec::new(), ExitStatus::Signal(11)))).await;
    let error = ran.result.expect_err("it fails");
    assert_eq!(code_of(&error), Code::Step);
    assert_eq!(format!("{error:#}"), "step \"step 0\" of hello was ended by signal 11 (status 139)");
    let started = ran.events.iter().filter(|event| matches!(event, Event::StepStarted { .. })).count();
    assert_eq!(started, 1, "the second step does not start");
    assert!(ran.killed);
    assert_eq!(std::fs::read_dir(out.path()).expect("listed").count(), 0);
}

#[tokio::test]
async fn what_an_agent_may_not_do_ends_the_build() {
    let out = tempfile::tempdir().expect("a directory can be made");
    let huge = u32::MAX.to_le_bytes().to_vec();
    let stranger = kiln_protocol::frame::encode(
        &kiln_protocol::FromGuest::Output { step: 99, stream: Stream::Stdout, bytes: vec![1] },
        1 << 20,
    )
    .expect("it fits");
    for (behaviour, code, words) in [
        (Behaviour::Babbles(huge), Code::Defect, "a frame of 4294967295 bytes"),
        (Behaviour::Babbles(stranger), Code::Defect, "a step 99 that does not exist"),
        (Behaviour::Dies, Code::Host, "the fake was ended by signal 9 during step \"step 1\""),
        (Behaviour::Refuses("no user x".into()), Code::BuildFile, "no user x"),
    ] {
        let ran = run(&plan(out.path()), at(1, behaviour)).await;
        let error = ran.result.expect_err("it fails");
        assert!(format!("{error:#}").contains(words), "{error:#}");
        assert_eq!(code_of(&error), code);
        assert!(ran.killed);
    }
}

#[tokio::test]
async fn an_archive_that_leads_out_is_refused_whole() {
    let out = tempfile::tempdir().expect("a directory can be made");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..12].copy_from_slice(b"hello/../../");
    header.set_size(0);
    header.set_cksum();
    tar.append(&header, std::io::empty()).expect("written to memory");
    let fake = Fake { archive: tar.into_inner().expect("written to memory"), ..Fake::default() };
    let ran = run(&plan(out.path()), fake).await;
    assert_eq!(code_of(&ran.result.expect_err("refused")), Code::Package);
    assert_eq!(std::fs::read_dir(out.path()).expect("listed").count(), 0);
}

#[tokio::test]
async fn a_signal_cancels_the_step_and_names_the_code() {
    let out = tempfile::tempdir().expect("a directory can be made");
    for (signal, code) in
        [(Interrupt::Interrupt, Code::Interrupted), (Interrupt::Terminate, Code::Terminated)]
    {
        let (sender, receiver) = watch::channel(None);
        sender.send_replace(Some(signal));
        let ran = run_with(&plan(out.path()), at(0, Behaviour::Hangs), receiver).await;
        assert_eq!(code_of(&ran.result.expect_err("interrupted")), code);
        assert!(ran.killed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_limit_cancels_a_step_that_hangs() {
    let out = tempfile::tempdir().expect("a directory can be made");
    let plan = Plan { timeout: Some(Duration::from_secs(60)), ..plan(out.path()) };
    let ran = run(&plan, at(0, Behaviour::Hangs)).await;
    assert_eq!(code_of(&ran.result.expect_err("timed out")), Code::Timeout);
    let status = ran.events.iter().find_map(|event| match event {
        Event::StepFinished { status, .. } => Some(*status),
        _ => None,
    });
    assert_eq!(status, Some(Status::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_is_never_ready_runs_into_the_limit() {
    let out = tempfile::tempdir().expect("a directory can be made");
    let ran = run(&plan(out.path()), Fake { never_ready: true, ..Fake::default() }).await;
    let error = ran.result.expect_err("timed out");
    assert_eq!(code_of(&error), Code::Timeout);
    assert!(format!("{error:#}").contains("the fake console's last line"), "{error:#}");
}
