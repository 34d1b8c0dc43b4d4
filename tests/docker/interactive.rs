//! Terminals in containers: a shell in place of a failed step, a shell of an image, a command.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    pty::Person,
    world::{Place, daemon, said},
};

/// Its first step fails for want of a file, its second says what it finds.
const FAILS: &str = "package: {name: sample, version: '1.10', epoch: 3}
environment: {accounts: {run-as: build}, environment: {COLOUR: green}}
pipeline:
- name: look
  working-directory: /home/build/sub
  runs: |
    mkdir -p /home/build/sub
    test -f made-by-hand
- name: after
  runs: echo the second step finds $(cat sub/made-by-hand)
";

fn kiln(place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(place.project()).env("KILN_HOME", place.home()).env("PS1", "host$ ");
    command.args(arguments).args(["--runner", "docker", "--cache-dir", "cache"]).stdin(Stdio::null());
    command
}

#[test]
fn a_shell_in_a_failed_steps_place_is_a_terminal_and_its_end_decides() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    place.write("file.yaml", FAILS);
    let mut person = Person::at(&kiln(&place, &["build", "-i", "file.yaml"]));
    person.sees("a shell in the place of step 1/2 look");
    // The words of an answer are not those of the question, which the terminal echoes.
    person.types("echo at=$PWD colour=$COLOUR term=$TERM size=$(stty size) who=$(id -un)\n");
    person.sees("at=/home/build/sub colour=green term=xterm-256color size=30 100 who=build\r\n");
    person.resizes(50, 132);
    person.types("history | grep -c made-by-hand | sed s/^/lines=/\n");
    person.sees("lines=2\r\n");
    // Ctrl-C is the container's, and ends what runs there.
    person.types("sh -c 'echo sleeps; exec sleep 1000'\n");
    person.sees("sleeps\r\n");
    person.types("\u{3}");
    person.types("echo something >made-by-hand; exit 0\n");
    person.sees("the second step finds something");
    let (shown, status) = person.waits();
    assert!(status.success() && shown.contains("sample-1.10-r3: success"), "{shown}");
    let mut person = Person::at(&kiln(&place, &["build", "-i", "file.yaml"]));
    person.sees("a shell in the place of step 1/2 look");
    person.types("exit 1\n");
    let (shown, status) = person.waits();
    assert_eq!(status.code(), Some(5), "{shown}");
    assert_eq!(place.left(), Vec::<String>::new());
}

#[test]
fn a_shell_of_a_container_gives_its_status() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let mut person = Person::at(&kiln(&place, &["shell", "--source-dir", "."]));
    person.types("echo at=$PWD input=$(cat input) host=$(hostname)\n");
    person.sees("at=/home/build input=from-the-host host=kiln\r\n");
    person.types("exit $((40 + 2))\n");
    let (shown, status) = person.waits();
    assert_eq!(status.code(), Some(42), "{shown}");
    assert_eq!(place.left(), Vec::<String>::new());
}

#[test]
fn a_killed_kiln_leaves_its_terminal_as_it_was_and_the_next_one_what_docker_has() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let mut person = Person::at(&kiln(&place, &["shell", "--source-dir", "."]));
    person.types("echo $((6 * 7)) answers\n");
    person.sees("42 answers");
    assert!(!person.is_usable(), "every key goes to the guest");
    assert!(person.kills(), "the terminal stays in raw mode");
    let next = kiln(&place, &["run"]).args(["--", "sleep", "1"]).output().unwrap();
    assert!(next.status.success(), "{}", said(&next));
    assert_eq!(place.left(), Vec::<String>::new());
}

#[test]
fn a_command_gives_its_status_and_its_streams_and_reads_what_it_is_given() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    for (flags, script, status, stdout, stderr) in [
        (["--"].as_slice(), "cat; echo out; echo err >&2; exit 3", 3, "out\n", "err\n"),
        (&["-i", "--"], "tr a-z A-Z; kill -9 $$", 137, "READ\0BYTES", ""),
    ] {
        let mut command = kiln(&place, &["run"]);
        command.args(flags).args(["bash", "-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"read\0bytes").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{script}");
        assert_eq!(said(&output), stderr, "{script}");
        assert_eq!(output.status.code(), Some(status), "{script}");
    }
    assert_eq!(place.left(), Vec::<String>::new());
}
