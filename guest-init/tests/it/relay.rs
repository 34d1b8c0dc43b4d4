//! Connections to a relayed port.

use kiln_protocol::{Chunk, ExitStatus, ForwardData, FromGuest, RELAY_WINDOW, Step, Stream, ToGuest};

use crate::agent::{Agent, can_isolate, empty_config, sh};

const PORT: u16 = 3128;

/// An agent with its own loopback.
fn agent() -> Option<Agent> {
    if !can_isolate() {
        return None;
    }
    let mut agent = Agent::start_isolated(empty_config());
    agent.send(&ToGuest::Relay(vec![PORT]));
    Some(agent)
}

fn bash(index: u32, script: &str) -> Step {
    Step { argv: ["/bin/bash", "-c", script].map(str::to_owned).to_vec(), ..sh(index, "") }
}

fn forward_data(connection: u32, piece: Chunk) -> ToGuest {
    ToGuest::ForwardData(ForwardData { connection, piece })
}

/// Output and data up to the end of the step and of its connection.
#[derive(Default)]
struct Received {
    written: Vec<u8>,
    passed: Vec<u8>,
    taken: u32,
    ended: bool,
}

fn recv(agent: &mut Agent, connection: u32) -> Received {
    let mut received = Received::default();
    let mut status = None;
    while status.is_none() || !received.ended {
        match agent.recv() {
            Some(FromGuest::Output { stream: Stream::Stdout, bytes, .. }) => received.written.extend(bytes),
            Some(FromGuest::Ended { status: ended, .. }) => status = Some(ended),
            Some(FromGuest::ForwardData(ForwardData { connection: of, piece })) if of == connection => {
                match piece {
                    Chunk::Bytes(bytes) => {
                        received.ended |= bytes.is_empty();
                        agent.send(&forward_data(connection, Chunk::Taken(bytes.len() as u32)));
                        received.passed.extend(bytes);
                    }
                    Chunk::Taken(count) => received.taken += count,
                    Chunk::Broken => received.ended = true,
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(status, Some(ExitStatus::Code(0)));
    received
}

fn opened(agent: &mut Agent) -> u32 {
    match agent.recv() {
        Some(FromGuest::Connected { connection, port: PORT }) => connection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_directions_are_forwarded_and_end() {
    let Some(mut agent) = agent() else { return };
    agent.send(&ToGuest::Run(bash(1, "exec 3<>/dev/tcp/127.0.0.1/3128; echo hello >&3; cat <&3")));
    let connection = opened(&mut agent);
    agent.send(&forward_data(connection, Chunk::Bytes(b"world\n".to_vec())));
    agent.send(&forward_data(connection, Chunk::Bytes(Vec::new())));
    let Received { written, passed, taken, .. } = recv(&mut agent, connection);
    assert_eq!(
        (written.as_slice(), passed.as_slice(), taken),
        (b"world\n".as_slice(), b"hello\n".as_slice(), 6)
    );
}

#[test]
fn no_more_than_a_window_is_sent_before_it_is_taken() {
    let Some(mut agent) = agent() else { return };
    // More than the kernel buffers for a connection.
    let count = 128 * RELAY_WINDOW;
    let script = format!("head -c {count} /dev/zero > /dev/tcp/127.0.0.1/3128");
    agent.send(&ToGuest::Run(bash(1, &script)));
    let connection = opened(&mut agent);
    let mut untaken = 0;
    while untaken < RELAY_WINDOW {
        match agent.recv() {
            Some(FromGuest::ForwardData(ForwardData { piece: Chunk::Bytes(bytes), .. })) => {
                untaken += bytes.len()
            }
            other => panic!("{other:?}"),
        }
    }
    // The kernel buffers some of the rest; the agent goes on only with new credit.
    agent.send(&forward_data(connection, Chunk::Taken(untaken as u32)));
    let received = recv(&mut agent, connection);
    assert_eq!((untaken, untaken + received.passed.len()), (RELAY_WINDOW, count));
}

#[test]
fn a_connection_that_the_host_breaks_ends_in_the_step() {
    let Some(mut agent) = agent() else { return };
    agent.send(&ToGuest::Run(bash(1, "exec 3<>/dev/tcp/127.0.0.1/3128; cat <&3; echo over")));
    let connection = opened(&mut agent);
    agent.send(&forward_data(connection, Chunk::Broken));
    match (agent.recv(), agent.recv()) {
        (Some(FromGuest::Output { bytes, .. }), Some(FromGuest::Ended { .. })) => {
            assert_eq!(bytes, b"over\n")
        }
        other => panic!("{other:?}"),
    }
    // Other connections are served as before.
    agent.send(&ToGuest::Run(bash(2, "exec 3<>/dev/tcp/127.0.0.1/3128")));
    assert_ne!(opened(&mut agent), connection);
}
