//! Ends of processes: background processes, timeouts, cancels, the end of the channel.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Command,
};

use kiln_protocol::{ExitStatus, FromGuest, Step, Stream, ToGuest};

use crate::agent::{Agent, Outcome, can_isolate, empty_config, sh};

/// A fifo that shows by its end-of-file that all scripts that have opened it for writing have ended.
struct Pulse {
    directory: tempfile::TempDir,
}

impl Pulse {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&directory.path().join("pulse"), mode).expect("a fifo");
        Self { directory }
    }

    fn path(&self) -> String {
        self.directory.path().join("pulse").to_string_lossy().into_owned()
    }

    /// Waits until a process has opened it. The result reads an end-of-file when no process has it open.
    fn listen(&self) -> BufReader<fs::File> {
        let mut reader = BufReader::new(fs::File::open(self.path()).expect("opened"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("read");
        assert_eq!(line, "alive\n");
        reader
    }
}

fn wait_for_the_end(mut pulse: BufReader<fs::File>) {
    let mut rest = String::new();
    pulse.read_line(&mut rest).expect("read");
    assert_eq!(rest, "");
}

/// A process that has left its session and its parent, and has the pulse open.
fn daemon(pulse: &Pulse) -> String {
    format!("setsid sh -c '(exec >{}; echo alive; exec sleep 1000) &' </dev/null", pulse.path())
}

#[test]
fn a_step_ends_with_its_shell_and_background_processes_live_on() {
    let mut agent = Agent::start();
    let fifo = tempfile::tempdir().expect("a directory");
    let go = fifo.path().join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let script = format!("echo now; (read line < {}; echo later) &", go.display());
    let outcome = agent.run(sh(1, &script));
    assert_eq!((outcome.stdout.as_slice(), outcome.status), (b"now\n".as_slice(), ExitStatus::Code(0)));

    // The background process of step 1 writes while step 2 runs; it is step 1's output.
    agent.send(&ToGuest::Run(sh(2, &format!("echo > {}", go.display()))));
    let expected = FromGuest::Output { step: 1, stream: Stream::Stdout, bytes: b"later\n".to_vec() };
    let received: Vec<FromGuest> = (0..2).filter_map(|_| agent.recv()).collect();
    assert!(received.contains(&expected), "{received:?}");
    assert!(
        received.iter().any(|message| matches!(message, FromGuest::Ended { step: 2, .. })),
        "{received:?}"
    );
}

#[test]
fn a_background_process_that_never_stops_writing_does_not_delay_the_end_of_the_step() {
    let mut agent = Agent::start();
    let outcome = agent.run(sh(1, "yes & echo done >&2"));
    assert_eq!((outcome.stderr.as_slice(), outcome.status), (b"done\n".as_slice(), ExitStatus::Code(0)));
}

#[test]
fn a_timeout_kills_all_processes() {
    let mut agent = Agent::start();
    let pulse = Pulse::new();
    let script = format!("{}; echo started; sleep 1000", daemon(&pulse));
    agent.send(&ToGuest::Run(Step { timeout_ms: Some(1500), ..sh(1, &script) }));
    let listening = pulse.listen();
    let expected =
        Outcome { stdout: b"started\n".to_vec(), stderr: Vec::new(), status: ExitStatus::TimedOut };
    assert_eq!(agent.finish(1), expected);
    wait_for_the_end(listening);
    assert_eq!(agent.output_of("echo next"), "next\n");
}

#[test]
fn a_cancel_kills_all_processes_while_output_is_not_read() {
    let mut agent = Agent::start();
    let pulse = Pulse::new();
    agent.send(&ToGuest::Run(sh(1, &format!("{}; yes & yes >&2", daemon(&pulse)))));
    let listening = pulse.listen();
    agent.send(&ToGuest::Cancel);
    // Nothing has been read, so the channel is full; the cancel arrives nevertheless.
    wait_for_the_end(listening);
    assert_eq!(agent.finish(1).status, ExitStatus::Cancelled);
}

#[test]
fn the_agent_kills_all_processes_when_the_channel_closes() {
    let mut agent = Agent::start();
    let pulse = Pulse::new();
    assert_eq!(agent.run(sh(1, &daemon(&pulse))).status, ExitStatus::Code(0));
    let listening = pulse.listen();
    agent.input = None;
    wait_for_the_end(listening);
    assert!(agent.child.wait().expect("it ends").success());
}

#[test]
fn the_agent_kills_all_processes_on_shutdown() {
    let mut agent = Agent::start();
    let pulse = Pulse::new();
    assert_eq!(agent.run(sh(1, &daemon(&pulse))).status, ExitStatus::Code(0));
    let listening = pulse.listen();
    agent.send(&ToGuest::Shutdown);
    wait_for_the_end(listening);
    assert_eq!(agent.recv(), None);
    assert!(agent.child.wait().expect("it ends").success());
}

#[test]
fn as_pid_1_it_reaps_orphans_and_kills_all() {
    if !can_isolate() {
        return;
    }
    let mut agent = Agent::start_isolated(empty_config());
    let pulse = Pulse::new();
    agent.output_of("for i in 1 2 3; do (sh -c 'true &' &); done");
    // Ended orphans are reaped and leave no zombies: only the agent and the shell are left.
    let left = agent.output_of(
        "set -- /proc/[0-9]*; n=0; while [ $# -gt 2 ] && [ $n -lt 100000 ]; do n=$((n + 1)); set -- /proc/[0-9]*; done; echo $#",
    );
    assert_eq!(left, "2\n");
    agent.send(&ToGuest::Run(sh(2, &format!("{}; sleep 1000", daemon(&pulse)))));
    let listening = pulse.listen();
    agent.send(&ToGuest::Cancel);
    assert_eq!(agent.finish(2).status, ExitStatus::Cancelled);
    wait_for_the_end(listening);
    assert_eq!(agent.output_of("echo next"), "next\n");
}

#[test]
fn a_request_out_of_turn_fails_and_ends_the_agent() {
    let mut agent = Agent::unprepared(&mut Command::new(env!("CARGO_BIN_EXE_guest-init")));
    agent.send(&ToGuest::Run(sh(1, "true")));
    let why = "a request came before the guest was prepared".to_owned();
    assert_eq!(agent.recv(), Some(FromGuest::Failed { why }));
    assert_eq!(agent.recv(), None);
    assert_eq!(agent.child.wait().expect("it ends").code(), Some(1));
}
