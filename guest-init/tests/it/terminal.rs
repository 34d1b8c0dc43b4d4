//! Steps with input: from a pipe, or from a terminal.

use kiln_protocol::{
    ExitStatus, FromGuest, Stdin, Step, Stream, Terminal, ToGuest, User, frame::INPUT_WINDOW,
};

use crate::agent::{Agent, Outcome, is_root, sh, skip};

fn at_a_terminal(index: u32, script: &str) -> Step {
    let terminal = Terminal { term: "vt220".into(), rows: 24, columns: 80 };
    Step { stdin: Stdin::Terminal(terminal), ..sh(index, script) }
}

fn input(bytes: &[u8]) -> ToGuest {
    ToGuest::Input { bytes: bytes.to_vec() }
}

/// The output of the step up to `end`; `Consumed` is skipped.
fn read_until(agent: &mut Agent, end: &str) -> String {
    let mut seen = String::new();
    while !seen.ends_with(end) {
        match agent.recv() {
            Some(FromGuest::Output { stream: Stream::Stdout, bytes, .. }) => {
                seen += &String::from_utf8_lossy(&bytes);
            }
            Some(FromGuest::Consumed { .. }) => {}
            other => panic!("instead of {end:?} after {seen:?} came {other:?}"),
        }
    }
    seen
}

#[test]
fn a_terminal_is_all_three_streams_and_controls_the_session() {
    let mut agent = Agent::start();
    let script = "test -t 0 && test -t 1 && test -t 2 && echo all; echo err >&2; echo $TERM; stty size; \
                  : </dev/tty && echo controls; stat -c %U $(tty) | grep -qx $(id -un) && echo mine; \
                  stty -a | grep -o -w -- iutf8; exit 3";
    let outcome = agent.run(at_a_terminal(1, script));
    let seen = "all\r\nerr\r\nvt220\r\n24 80\r\ncontrols\r\nmine\r\niutf8\r\n";
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), seen);
    assert_eq!((outcome.stderr.as_slice(), outcome.status), (b"".as_slice(), ExitStatus::Code(3)));
}

#[test]
fn a_terminal_belongs_to_the_user_of_its_step() {
    if !is_root() {
        return skip("switching the user needs root");
    }
    let mut agent = Agent::start();
    let outcome =
        agent.run(Step { user: User::Uid(4242), ..at_a_terminal(1, "echo > $(tty); stat -c %u $(tty)") });
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "\r\n4242\r\n");
    // Its terminal can be opened after `su`, as its streams can.
    let script = "setpriv --reuid 4343 --clear-groups sh -c 'echo other > /dev/stderr'";
    let outcome = agent.run(at_a_terminal(2, script));
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "other\r\n");
}

#[test]
fn keys_reach_the_step_and_control_c_its_foreground_process() {
    let mut agent = Agent::start();
    let script = "trap 'echo interrupted' INT; echo ready; read line; echo \"<$line>\"; \
                  sh -c 'trap - INT; echo asleep; exec sleep 1000'; read line";
    agent.send(&ToGuest::Run(at_a_terminal(1, script)));
    read_until(&mut agent, "ready\r\n");
    agent.send(&input("h\u{e4}\u{7f}ello\n".as_bytes()));
    let seen = read_until(&mut agent, "<hello>\r\nasleep\r\n");
    assert!(seen.starts_with("h\u{e4}"), "what is typed is echoed: {seen:?}");
    agent.send(&input(b"\x03"));
    read_until(&mut agent, "interrupted\r\n");
    // The end of the input is a Ctrl-D, at which the shell ends.
    agent.send(&input(b""));
    assert_eq!(finish(&mut agent, 1).status, ExitStatus::Code(1));
}

#[test]
fn a_new_size_reaches_the_step() {
    let mut agent = Agent::start();
    agent.send(&ToGuest::Run(at_a_terminal(
        1,
        "trap 'stty size; exit 0' WINCH; echo ready; while :; do read l; done",
    )));
    read_until(&mut agent, "ready\r\n");
    agent.send(&ToGuest::Resize { rows: 50, columns: 132 });
    assert_eq!(read_until(&mut agent, "50 132\r\n"), "50 132\r\n");
    assert_eq!(agent.finish(1).status, ExitStatus::Code(0));
}

#[test]
fn all_output_to_a_terminal_arrives_while_background_processes_live_on() {
    let mut agent = Agent::start();
    for index in 0..5 {
        let script = "stty -opost; (trap '' HUP; exec sleep 1000) & seq 1 30000";
        let outcome = agent.run(at_a_terminal(index, script));
        let expected: String = (1..=30000).map(|i| format!("{i}\n")).collect();
        assert!(outcome.stdout == expected.as_bytes(), "{} of {}", outcome.stdout.len(), expected.len());
    }
    assert_eq!(agent.output_of("echo next"), "next\n");
}

#[test]
fn unread_input_blocks_nothing() {
    let mut agent = Agent::start();
    for (index, step) in (0..).zip([at_a_terminal(0, "stty raw; exec sleep 1000"), sh(1, "exec sleep 1000")])
    {
        let step = Step { stdin: if index == 1 { Stdin::Pipe } else { step.stdin.clone() }, index, ..step };
        agent.send(&ToGuest::Run(step));
        agent.send(&input(&vec![b'x'; INPUT_WINDOW]));
        agent.send(&ToGuest::Cancel);
        let outcome = finish(&mut agent, index);
        assert_eq!(outcome.status, ExitStatus::Cancelled);
    }
    // Input after the end of the step is dropped.
    agent.send(&input(b"late"));
    agent.send(&ToGuest::Resize { rows: 1, columns: 1 });
    assert_eq!(agent.output_of("cat; echo next"), "next\n");
}

/// As [`Agent::finish`], for a step with input.
fn finish(agent: &mut Agent, index: u32) -> Outcome {
    let mut stdout = Vec::new();
    loop {
        match agent.recv() {
            Some(FromGuest::Output { bytes, .. }) => stdout.extend(bytes),
            Some(FromGuest::Consumed { step, bytes }) => {
                assert!(step == index && bytes as usize <= INPUT_WINDOW, "{bytes} of step {step}");
            }
            Some(FromGuest::Ended { step, status, .. }) if step == index => {
                return Outcome { stdout, stderr: Vec::new(), status };
            }
            other => panic!("step {index} was answered with {other:?}"),
        }
    }
}

#[test]
fn a_pipe_gives_all_bytes_and_then_its_end() {
    let mut agent = Agent::start();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    agent.send(&ToGuest::Run(Step { stdin: Stdin::Pipe, ..sh(1, "cat") }));
    let (mut sent, mut window, mut seen) = (0, INPUT_WINDOW, Vec::new());
    let status = loop {
        let piece = window.min(bytes.len() - sent);
        if piece > 0 {
            agent.send(&input(&bytes[sent..sent + piece]));
            (sent, window) = (sent + piece, window - piece);
            if sent == bytes.len() {
                agent.send(&input(b""));
            }
        }
        match agent.recv() {
            Some(FromGuest::Output { bytes, .. }) => seen.extend(bytes),
            Some(FromGuest::Consumed { bytes, .. }) => window += bytes as usize,
            Some(FromGuest::Ended { status, .. }) => break status,
            other => panic!("cat was answered with {other:?}"),
        }
    };
    assert!(seen == bytes, "{} bytes of {}", seen.len(), bytes.len());
    assert_eq!(status, ExitStatus::Code(0));
}

#[test]
fn more_input_than_the_window_ends_the_agent() {
    let mut agent = Agent::start();
    agent.send(&ToGuest::Run(Step { stdin: Stdin::Pipe, ..sh(1, "exec sleep 1000") }));
    // The pipe takes bytes out of the window: more than both together does not fit.
    for _ in 0..3 {
        agent.send(&input(&vec![0; INPUT_WINDOW]));
    }
    let last = std::iter::from_fn(|| agent.recv()).last();
    assert_eq!(last, Some(FromGuest::Failed { why: "more input came than its window takes".into() }));
}
