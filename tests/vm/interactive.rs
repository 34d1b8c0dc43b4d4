//! Terminals in microVMs: a shell in place of a step that fails, Ctrl-C, and a command in a fresh guest.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{project, pty::Person};

#[test]
fn a_person_mends_a_failed_step_and_interrupts_the_next_one() {
    let directory =
        project("build", &["test -f made-by-hand", "echo finds $(cat made-by-hand); exec sleep 1000"]);
    let mut command = super::build_command(directory.path(), "", "auto");
    command.arg("-i");
    let mut person = Person::at(&command);
    person.sees("a shell in the place of step 1/2");
    person.types("echo user=$(id -un) at=$PWD term=$TERM size=$(stty size)\n");
    person.sees("user=build at=/home/build term=xterm-256color size=30 100\r\n");
    person.resizes(50, 132);
    person.types("history | grep -c made-by-hand | sed s/^/lines=/\n");
    // The line of the step, and this one.
    person.sees("lines=2\r\n");
    person.types("echo something >made-by-hand; exit 0\n");
    person.sees("counts as done, by hand");
    person.sees("finds something");
    // A machine that stands still ends nothing in order.
    kill(machine_of(person.pid()), Signal::SIGSTOP).expect("it is there");
    person.types("\u{3}");
    person.sees("a second signal ends the build at once");
    person.types("\u{3}");
    let (shown, status) = person.waits();
    assert_eq!(status.code(), Some(130), "{shown}");
    assert!(shown.contains("interrupted after ") && !shown.contains("cancelled"), "{shown}");
}

/// The QEMU of a kiln.
fn machine_of(kiln: i32) -> Pid {
    let children = fs::read_to_string(format!("/proc/{kiln}/task/{kiln}/children")).expect("it is there");
    let pids = children.split_whitespace().map(|pid| pid.parse().expect("a number"));
    let is_machine = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("qemu-system"))
    };
    Pid::from_raw(pids.into_iter().find(is_machine).expect("it runs a machine"))
}

#[test]
fn a_command_in_a_fresh_guest_gives_its_status_and_its_streams() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(directory.path()).args(["run", "--accel", "tcg", "--memory", "1Gi", "-i", "--"]);
    command.args(["sh", "-c", "tr a-z A-Z; pwd; ls -A | wc -l; echo err >&2; exit 42"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kiln can be started");
    child.stdin.take().expect("it is piped").write_all(b"read\0bytes\n").expect("it is read");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "READ\0BYTES\n/home/build\n0\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
    assert_eq!(
        fs::read_dir(directory.path()).expect("listed").count(),
        0,
        "nothing is left in the working directory"
    );
}

#[test]
fn a_shell_that_boots_shows_that_it_does_and_takes_that_away() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(directory.path()).args(["shell", "--accel", "tcg", "--memory", "1Gi"]);
    let mut person = Person::at(&command);
    person.sees("starting the guest");
    let drawn =
        person.sees("debian:bookworm in qemu (tcg): root in /home/build, no cache; leave with `exit`");
    assert!(drawn.ends_with("\r\u{1b}[J"), "{drawn:?}");
    person.sees("nothing is kept\r\n");
    person.types("echo is=$((6 * 7))\n");
    let between = person.sees("is=42\r\n");
    assert!(!between.contains("starting the guest"), "nothing is drawn into a shell: {between:?}");
    person.types("exit 3\n");
    let (shown, status) = person.waits();
    assert_eq!(status.code(), Some(3), "{shown}");
}
