//! The engine on a scripted agent: its reports, its end, and its answers to lies.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use kiln::{
    backend::fake::{Behaviour, Fake, RequestKind},
    compile::Origin,
    engine::{BuildOutcome, Engine, Injected, Interrupt, Interrupts, OnFailure, Outputs},
    event::{Data, Event, Phases, Status},
    exit::{Code, Fault, code_of, faults_of},
    plan::{ArtifactPlan, Plan, PlannedStep},
};
use kiln_protocol::{Exhausted, ExitStatus, FullDirectory, MemoryEvents, Room, Stdin, Step, Stream, User};
use tokio::sync::watch;

use crate::{hostile::archives, plans};

pub(crate) fn step(index: u32, timeout: Option<Duration>) -> PlannedStep {
    PlannedStep {
        name: format!("step {index}"),
        package: "hello".into(),
        origin: Origin { file: Path::new("hello.yaml").into(), line: 7 + index, column: 5 },
        used_at: None,
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
    let engine = Engine {
        plan,
        sink: &mut sink,
        interrupts: Interrupts::new(signal),
        injected: Injected::default(),
        phases: &mut phases,
    };
    let on_failure =
        OnFailure { rerun_command: Some("kiln build -i file.yaml".into()), ..OnFailure::default() };
    let BuildOutcome { result, .. } = engine.build(&mut fake, Outputs::default(), on_failure).await;
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
    assert_eq!(
        format!("{error:#}"),
        "hello.yaml:7: step \"step 0\" of hello was ended by signal 11 (status 139)"
    );
    let started = ran.events.iter().filter(|event| matches!(event, Event::StepStarted { .. })).count();
    assert_eq!(started, 1, "the second step does not start");
    assert!(ran.killed);
    assert_eq!(std::fs::read_dir(out.path()).expect("listed").count(), 0);
}

#[tokio::test]
async fn a_failed_step_says_why_in_few_words_whatever_an_agent_says() {
    let out = tempfile::tempdir().expect("a directory can be made");
    let full = |n: usize| FullDirectory {
        path: format!("/{n}/../../etc"),
        lacks: if n.is_multiple_of(2) { Room::Space } else { Room::Inodes },
    };
    let memory = Some(MemoryEvents { oom_kills: u64::MAX, limit_hits: None });
    let exhausted = Exhausted { memory, full: (0..2000).map(full).collect() };
    let mut noise = b"\x1b[2Jx\n".repeat(40_000);
    noise.extend(b"/run/kiln-step: line 1: cmake: command not found\n");
    let pieces = noise.chunks(60_000).map(|piece| (Stream::Stderr, piece.to_vec())).collect();
    let behaviour = Behaviour::Exhausts(pieces, ExitStatus::Code(127), exhausted);
    let ran = run(&plan(out.path()), at(0, behaviour)).await;
    let error = ran.result.expect_err("it fails");
    assert_eq!(
        format!("{error:#}"),
        "hello.yaml:7: step \"step 0\" of hello exited with status 127\n\
         the kernel ended 18446744073709551615 of its processes for want of memory: this build has 4096 MiB\n\
         no space is left on the guest's disk of 51200 MiB\n\
         no inode is left for another file on the guest's disk of 51200 MiB\n\
         `cmake` is no program of the image"
    );
    let faults = faults_of(&error);
    let [Fault { file, line, column, hint, .. }] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((file.as_str(), *line, *column), ("hello.yaml", 7, 5));
    let hint: Vec<&str> = hint.as_deref().unwrap_or_default().lines().collect();
    assert_eq!(hint[0], "give it more with package.resources.memory, or --memory");
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
        (Behaviour::Babbles(huge), Code::Host, "a frame of 4294967295 bytes"),
        (Behaviour::Babbles(stranger), Code::Host, "a step 99 that does not run"),
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
    let ran = run(&plan(out.path()), Fake { ignores: Some(RequestKind::Prepare), ..Fake::default() }).await;
    let error = ran.result.expect_err("timed out");
    assert_eq!(code_of(&error), Code::Timeout);
    assert!(format!("{error:#}").contains("the fake console's last line"), "{error:#}");
}

/// A build with an agent that ignores `asked`, and with a signal after a while where there is one.
async fn ignoring(plan: &Plan, asked: RequestKind, signal: Option<Interrupt>) -> Ran {
    let (sender, receiver) = watch::channel(None);
    let hangs = if asked == RequestKind::Cancel {
        Behaviour::Hangs
    } else {
        Behaviour::Ends(Vec::new(), ExitStatus::Code(0))
    };
    let fake = Fake { ignores: Some(asked), ..at(0, hangs) };
    let time_passes = tokio::spawn(passing());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        sender.send_replace(signal);
        std::future::pending::<()>().await;
    });
    let ran = run_with(plan, fake, receiver).await;
    time_passes.abort();
    ran
}

/// Lets time pass where a thread works as well, which a clock that stands still waits for.
async fn passing() {
    loop {
        tokio::time::advance(Duration::from_millis(500)).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

/// A plan whose second step is larger than what the channel takes at once.
fn large(out_dir: &Path) -> Plan {
    let mut plan = plan(out_dir);
    plan.steps[1].step.argv.push("x".repeat(1 << 20));
    plan
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_runs_into_a_limit() {
    let out = tempfile::tempdir().expect("a directory can be made");
    for (asked, words) in [
        (RequestKind::Prepare, "the guest was not ready within"),
        (RequestKind::Run, "the agent has read nothing for 30 s"),
        (RequestKind::Export, "artifacts did not leave the guest: next to nothing came for 120 s"),
        (RequestKind::ExportWithNothing, "artifacts did not leave the guest: next to nothing came for 120 s"),
    ] {
        let mut plan = large(out.path());
        // The request does not fit into the channel.
        plan.steps.swap(0, 1);
        plan.steps.iter_mut().zip(0..).for_each(|(planned, index)| planned.step.index = index);
        let ran = ignoring(&plan, asked, None).await;
        let error = ran.result.expect_err("it does not end otherwise");
        assert!(format!("{error:#}").contains(words), "{asked:?}: {error:#}");
        assert_eq!(code_of(&error), Code::Timeout, "{asked:?}");
        assert!(ran.killed, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_and_the_builds_limit_have_their_code_whatever_the_agent_does() {
    let out = tempfile::tempdir().expect("a directory can be made");
    for asked in [
        RequestKind::Prepare,
        RequestKind::Run,
        RequestKind::Cancel,
        RequestKind::Export,
        RequestKind::ExportWithNothing,
    ] {
        for (signal, timeout, code) in [
            (Some(Interrupt::Interrupt), None, Code::Interrupted),
            (Some(Interrupt::Terminate), None, Code::Terminated),
            (None, Some(Duration::from_secs(5)), Code::Timeout),
        ] {
            let plan = Plan { timeout, boot_timeout: Duration::from_secs(9), ..large(out.path()) };
            let ran = ignoring(&plan, asked, signal).await;
            let error = ran.result.expect_err("it does not end otherwise");
            assert_eq!(code_of(&error), code, "{asked:?} {signal:?}: {error:#}");
            assert!(ran.killed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_tool_writes_of_a_secret_is_held_back_and_dots_are_not() {
    let out = tempfile::tempdir().expect("a directory can be made");
    let plan = plan(out.path());
    let mut events = Vec::new();
    let mut sink = |event: Event| events.push(event);
    let (_sender, receiver) = watch::channel(None);
    let secret = kiln_protocol::Secret { id: "t".into(), value: b"s3cr3t-T0ken".to_vec() };
    let mut phases = Phases::begin("boot");
    let mut fake = at(0, Behaviour::Types("..s3cr3t-T0ken..".into(), Duration::from_millis(1900)));
    let engine = Engine {
        plan: &plan,
        sink: &mut sink,
        interrupts: Interrupts::new(receiver),
        injected: Injected::new(None, vec![secret]),
        phases: &mut phases,
    };
    let outcome = engine.build(&mut fake, Outputs::default(), OnFailure::default()).await;
    outcome.result.expect("it succeeds");
    let texts: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::Output { data: Data::Text(text), .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, [".", ".", "***", ".", "."]);
}

#[tokio::test]
async fn no_archive_of_an_agent_that_lies_leaves_anything() {
    let scratch = tempfile::tempdir().expect("a directory can be made");
    let out = scratch.path().join("out");
    let artifact = |name: &str| ArtifactPlan { package: name.into(), file_stem: format!("{name}-1.0-r0") };
    let plan = Plan { artifacts: vec![artifact("p"), artifact("p-dev")], ..plan(&out) };
    for (reason, stream) in archives() {
        let whole = stream.end();
        for archive in [whole.clone(), whole[..whole.len() - 1024].to_vec(), Vec::new()] {
            let ran = run(&plan, Fake { archive, ..Fake::default() }).await;
            let error = ran.result.expect_err(reason);
            assert_eq!(code_of(&error), Code::Package, "{reason}: {error:#}");
            assert!(ran.killed);
            let left = std::fs::read_dir(scratch.path()).expect("listed").flatten();
            let files: Vec<_> = left.filter(|entry| entry.path() != out).collect();
            assert!(files.is_empty(), "{reason}: {files:?}");
            assert!(std::fs::read_dir(&out).map_or(0, Iterator::count) == 0, "{reason}");
        }
    }
}
