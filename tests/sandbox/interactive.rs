//! Terminals in sandboxes: a build that fails, a shell of a guest, and Ctrl-C.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{assert_clean, has_bwrap, project, pty::Person, scratch};

/// Its first step fails for want of a file, its second says what it finds.
const FAILS: &str = "package: {name: sample, version: '1', epoch: 0}
environment: {environment: {COLOUR: green}}
pipeline:
- name: look
  working-directory: /home/build/sub
  runs: |
    mkdir -p /home/build/sub
    test -f made-by-hand
- name: after
  runs: echo the second step finds $(cat sub/made-by-hand)
";

fn kiln(project: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(project).env("QEMU_DISKS_PATH", scratch(project)).env("PS1", "host$ ");
    command.args(arguments).stdin(Stdio::null());
    command
}

fn failing_build(project: &std::path::Path) -> Command {
    fs::write(project.join("file.yaml"), FAILS).expect("written");
    fs::create_dir_all(project.join("sub")).expect("made");
    kiln(project, &["build", "-i", "--runner", "bubblewrap", "--cache-dir", "", "file.yaml"])
}

#[test]
fn a_shell_in_a_failed_steps_place_is_a_terminal_and_exit_0_goes_on() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let mut person = Person::at(&failing_build(&project));
    person.sees("a shell in the place of step 1/2 look");
    // The words of an answer are not those of the question, which the terminal echoes.
    person.types("echo at=$PWD colour=$COLOUR term=$TERM size=$(stty size)\n");
    person.sees("at=/home/build/sub colour=green term=xterm-256color size=30 100\r\n");
    person.resizes(50, 132);
    // The step's line is in the history, and this one.
    person.types("history | grep -c made-by-hand | sed s/^/lines=/\n");
    person.sees("lines=2\r\n");
    person.types("echo something >made-by-hand; exit 0\n");
    person.sees("the shell ended with 0: step 1/2 look counts as done, by hand");
    person.sees("the second step finds something");
    let (shown, status) = person.waits();
    assert!(status.success(), "{shown}");
    assert!(shown.contains("sample-1-r0: success"), "{shown}");
    assert_clean(&project);
}

#[test]
fn exit_1_ends_the_build_with_the_steps_failure() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let mut person = Person::at(&failing_build(&project));
    person.sees("a shell in the place of step 1/2 look");
    person.types("exit 1\n");
    person.sees("the shell ended (exit status 1): so does the build");
    let (shown, status) = person.waits();
    assert_eq!(status.code(), Some(5), "{shown}");
    assert!(shown.contains("step \"look\" of sample exited with status 1"), "{shown}");
    // `-i` is no way out where it was given.
    assert!(shown.contains("way out: --keep-on-failure keeps the workspace"), "{shown}");
    assert!(!shown.contains("the second step") && !shown.contains("a shell at this step"), "{shown}");
    assert_clean(&project);
}

#[test]
fn a_terminal_shows_what_a_failed_step_wrote_once() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let file = "package: {name: sample, version: '1', epoch: 0}
pipeline:
- name: look
  runs: |
    for n in $(seq 1 30); do echo \"no file $n\"; done
    printf 'the very end'
    exit 3
";
    fs::write(project.join("file.yaml"), file).expect("written");
    let arguments = ["build", "--runner", "bubblewrap", "--cache-dir", "", "file.yaml"];
    let (shown, status) = Person::at(&kiln(&project, &arguments)).waits();
    assert_eq!(status.code(), Some(5), "{shown}");
    for line in ["no file 11\r\n", "no file 30\r\n", "the very end\r\n"] {
        assert_eq!(shown.matches(line).count(), 1, "{line:?}: {shown}");
    }
    assert!(shown.contains("step \"look\" of sample exited with status 3"), "{shown}");
    // Where nothing can be scrolled back, they are quoted.
    let output = kiln(&project, &[&arguments[..], &["-q"]].concat()).output().expect("kiln can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("  | no file 30\n  | the very end\n"), "{said}");
}

#[test]
fn a_killed_kiln_leaves_its_terminal_as_it_was() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let mut person = Person::at(&kiln(&project, &["shell", "--runner", "bubblewrap"]));
    person.types("echo $((6 * 7)) answers\n");
    person.sees("42 answers");
    assert!(!person.is_usable(), "every key goes to the guest");
    assert!(!agents_below(Pid::from_raw(person.pid())).is_empty());
    assert!(person.kills(), "the terminal stays in raw mode");
}

#[test]
fn a_shell_of_a_build_file_has_its_surroundings_and_gives_its_status() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    fs::write(project.join("file.yaml"), FAILS).expect("written");
    fs::write(project.join("input"), "from the host").expect("written");
    let mut person =
        Person::at(&kiln(&project, &["shell", "--runner", "bubblewrap", "--cache-dir", "", "file.yaml"]));
    person.types("echo at=$PWD colour=$COLOUR input=$(cat input)\n");
    person.sees("at=/home/build colour=green input=from the host\r\n");
    // Ctrl-C is the guest's, and ends what runs there: the foreground's, which has said something.
    person.types("sh -c 'echo sleeps; exec sleep 1000'\n");
    person.sees("sleeps\r\n");
    person.types("\u{3}");
    person.types("exit $((40 + 2))\n");
    let (shown, status) = person.waits();
    assert_eq!(status.code(), Some(42), "{shown}");
    assert_clean(&project);
}

#[test]
fn a_command_gives_its_status_its_streams_and_reads_what_it_is_given() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    for (flags, script, input, status, stdout, stderr) in [
        (["--"].as_slice(), "cat; echo out; echo err >&2; exit 3", "unread", 3, "out\n", "err\n"),
        (&["-i", "--"], "tr a-z A-Z; kill -9 $$", "read\0bytes", 137, "READ\0BYTES", ""),
        (
            &["--"],
            "nothing-of-that-name",
            "",
            127,
            "",
            "/bin/bash: line 1: nothing-of-that-name: command not found\n",
        ),
    ] {
        let arguments = [&["run", "--runner", "bubblewrap"], flags, &["bash", "-c", script]].concat();
        let mut command = kiln(&project, &arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kiln can be started");
        child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it is read, or kept");
        let output = child.wait_with_output().expect("it ends");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let stderr = stderr.replace("/bin/bash: line 1", "bash: line 1");
        assert_eq!((said(&output.stdout), said(&output.stderr)), (stdout.to_owned(), stderr), "{script}");
        assert_eq!(output.status.code(), Some(status), "{script}");
    }
    assert_clean(&project);
}

/// The final content of a terminal, without lines that were redrawn or erased.
fn remains(shown: &str) -> String {
    let mut screen = String::new();
    for (at, part) in shown.split("\r\u{1b}[J").enumerate() {
        if at > 0 {
            screen.truncate(screen.rfind('\n').map_or(0, |end| end + 1));
        }
        screen.push_str(part);
    }
    screen
}

#[test]
fn a_shell_says_what_it_is_and_what_is_kept_and_q_says_nothing() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    fs::write(
        project.join("file.yaml"),
        FAILS.replace("environment: {env", "environment: {accounts: {run-as: build}, env"),
    )
    .expect("written");
    let here = fs::canonicalize(&project).expect("there");
    let cache = project.join("own-cache");
    let of_file = format!(
        "debian:bookworm in bubblewrap: build in /home/build (a copy of {}), cache {} (rw); leave with `exit` or \
         Ctrl-D; only what is written to /var/cache/melange is kept",
        here.display(),
        cache.display()
    );
    let cache = cache.to_str().expect("UTF-8");
    for (arguments, line) in [
        (
            &["shell"][..],
            "debian:bookworm in bubblewrap: root in /home/build, no cache; leave with `exit` or Ctrl-D; nothing is kept",
        ),
        (&["shell", "file.yaml", "--cache-dir", cache], &of_file),
        (
            &["run", "-t"],
            "debian:bookworm in bubblewrap: root in /home/build, no cache; ends with the command; nothing is kept",
        ),
    ] {
        let command = if arguments[0] == "run" { &["--", "bash"][..] } else { &[] };
        let with =
            |more: &[&str]| kiln(&project, &[arguments, &["--runner", "bubblewrap"], more, command].concat());
        let mut person = Person::at(&with(&[]));
        person.types("exit 7\n");
        let (shown, status) = person.waits();
        assert_eq!(status.code(), Some(7), "{shown}");
        // The keys may be shown by the terminal before the shell has it.
        let lines = remains(&shown).replace('\r', "");
        let said: Vec<&str> = lines.lines().map(|line| line.trim_start_matches("exit 7")).collect();
        assert_eq!(said.iter().filter(|said| said.contains(line)).count(), 1, "{arguments:?}: {shown}");
        assert!(!lines.contains("starting the guest"), "{arguments:?}: {shown}");
        let mut quiet = Person::at(&with(&["-q"]));
        quiet.types("exit\n");
        let (shown, _) = quiet.waits();
        assert!(!shown.contains("in /home/build"), "{arguments:?}: {shown}");
    }
    assert_clean(&project);
}

#[test]
fn a_command_at_a_terminal_leaves_only_what_it_wrote() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let arguments = ["run", "--runner", "bubblewrap", "--", "sh", "-c", "echo out; echo err >&2"];
    let (shown, status) = Person::at(&kiln(&project, &arguments)).waits();
    assert!(status.success(), "{shown}");
    let shown = remains(&shown);
    // Two pipes have no order.
    assert!(["out\r\nerr\r\n", "err\r\nout\r\n"].contains(&&*shown), "{shown:?}");
}

/// The file of a secret beside the project, as an option of kiln.
fn secret(project: &std::path::Path) -> String {
    let file = project.with_file_name("token");
    fs::write(&file, "correct-horse-battery-staple-7361\n").expect("written");
    format!("--secret=id=token,src={}", file.display())
}

#[test]
fn a_command_shows_no_secret() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let secret = secret(&project);
    let script = "cat /run/secrets/token; cat /run/secrets/token >&2; printf 'user:correct-horse-'";
    let arguments = ["run", "--runner", "bubblewrap", &secret, "--", "bash", "-c", script];
    let output = kiln(&project, &arguments).output().expect("kiln can be started");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Most of a secret is one at the end, too.
    assert_eq!(said(&output.stdout), "***\nuser:***");
    assert_eq!(said(&output.stderr), "***\n");
    assert!(output.status.success());
}

#[test]
fn a_shell_shows_no_secret_and_holds_no_prompt_back() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let secret = secret(&project);
    let mut person = Person::at(&kiln(&project, &["shell", "--runner", "bubblewrap", &secret]));
    person.types("stty -echo; cat /run/secrets/token; echo is-it\n");
    person.sees("***\r\nis-it\r\n");
    // Its last letter could be a secret's first.
    person.types("printf 'a name with %s' c; read name; echo has=$name\n");
    person.sees("a name with c");
    person.types("me\n");
    person.sees("has=me\r\n");
    person.types("exit\n");
    let (shown, status) = person.waits();
    assert!(status.success() && !shown.contains("correct-horse-battery"), "{shown}");

    let mut build = failing_build(&project);
    let mut person = Person::at(build.arg(&secret));
    person.sees("a shell in the place of step 1/2 look");
    person.types("stty -echo; cat /run/secrets/token; echo is-it\n");
    person.sees("***\r\nis-it\r\n");
    person.types("exit 1\n");
    let (shown, _) = person.waits();
    assert!(!shown.contains("correct-horse-battery"), "{shown}");
}

#[test]
fn a_workspace_that_is_kept_is_that_of_the_failed_step() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let steps = FAILS.replace("test -f made-by-hand", "echo half >half-done; exit 3");
    fs::write(project.join("file.yaml"), steps).expect("written");
    fs::write(project.join("input"), "").expect("written");
    let arguments = [
        "build",
        "--keep-on-failure",
        "--runner",
        "bubblewrap",
        "--cache-dir",
        "",
        "--progress",
        "plain",
        "file.yaml",
    ];
    let output = kiln(&project, &arguments).output().expect("kiln can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    let kept = said.lines().find_map(|line| line.strip_prefix("the workspace of the failed step is kept: "));
    let kept = std::path::Path::new(kept.unwrap_or_else(|| panic!("{said}")));
    let command = said
        .lines()
        .find_map(|line| line.strip_prefix("a shell with it: "))
        .unwrap_or_else(|| panic!("{said}"));
    let (unpack, shell) = command.split_once(" && kiln shell ").unwrap_or_else(|| panic!("{said}"));
    assert_eq!(shell, "file.yaml --runner bubblewrap --source-dir work");
    assert!(
        Command::new("sh").args(["-ec", unpack]).current_dir(&project).status().expect("started").success()
    );
    assert_eq!(fs::read_to_string(project.join("work/sub/half-done")).expect("there"), "half\n");
    assert!(project.join("work/input").is_file());
    fs::remove_dir_all(kept.parent().expect("it is in a directory of its own")).expect("removed");
}

/// A build whose agent is stopped while a step runs, so that nothing ends in order.
#[test]
fn the_second_signal_ends_a_build_at_once() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    fs::write(project.join("file.yaml"), FAILS.replace("test -f made-by-hand", "echo runs; exec sleep 1000"))
        .expect("written");
    let arguments =
        ["build", "--runner", "bubblewrap", "--cache-dir", "", "--progress", "plain", "file.yaml"];
    for (first, second, code) in
        [(Signal::SIGINT, Signal::SIGTERM, 143), (Signal::SIGTERM, Signal::SIGINT, 130)]
    {
        let mut child =
            kiln(&project, &arguments).stderr(Stdio::piped()).spawn().expect("kiln can be started");
        let pid = Pid::from_raw(child.id().cast_signed());
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
        until(&mut lines, "[1/2 look] runs");
        for agent in agents_below(pid) {
            kill(agent, Signal::SIGSTOP).expect("it is there");
        }
        kill(pid, first).expect("it is there");
        until(&mut lines, "a second signal ends the build at once");
        kill(pid, second).expect("it is there");
        let mut rest = String::new();
        lines.read_to_string(&mut rest).expect("it is text");
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{first}, {second}: {rest}");
        assert!(!rest.contains("cancelled"), "the step was waited for: {rest}");
        assert_clean(&project);
    }
}

/// Reads on to a line with this text.
fn until(lines: &mut impl BufRead, text: &str) {
    let mut read = String::new();
    while !read.lines().last().is_some_and(|line| line.contains(text)) {
        assert_ne!(lines.read_line(&mut read).expect("it is text"), 0, "{text:?} was not said: {read}");
    }
}

/// The agent of a sandbox, and what holds it: all that kiln started and that it started, but for steps.
fn agents_below(kiln: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut open = vec![kiln.as_raw()];
    while let Some(pid) = open.pop() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace().map(|pid| pid.parse::<i32>().expect("a number")) {
            open.push(child);
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            found.extend((name.trim() == "kiln-agent").then(|| Pid::from_raw(child)));
        }
    }
    assert!(!found.is_empty(), "there is no agent");
    found
}
