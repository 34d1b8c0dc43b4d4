//! Steps: their environment, output and status.

use kiln_protocol::{ExitStatus, FromGuest, IfExists, Step, TextFile, ToGuest, User};

use crate::agent::{Agent, Outcome, is_root, sh, skip};

#[test]
fn a_step_is_answered_with_its_status() {
    let mut agent = Agent::start();
    let cases = [
        ("true", ExitStatus::Code(0)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -SEGV $$", ExitStatus::Signal(11)),
        ("kill -KILL $$", ExitStatus::Signal(9)),
        ("kill -HUP $$", ExitStatus::Signal(1)),
        ("kill -TERM $$", ExitStatus::Signal(15)),
        ("kill -40 $$", ExitStatus::Signal(40)),
    ];
    for (index, (script, status)) in (0..).zip(cases) {
        let expected = Outcome { stdout: Vec::new(), stderr: Vec::new(), status };
        assert_eq!(agent.run(sh(index, script)), expected, "{script}");
    }
}

#[test]
fn each_stream_arrives_in_order_and_complete() {
    let mut agent = Agent::start();
    let script = "i=0; while [ $i -lt 20000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    let Outcome { stdout, stderr, status } = agent.run(sh(1, script));
    let lines = |name: &str| (0..20000).map(|i| format!("{name} {i}\n")).collect::<String>().into_bytes();
    assert_eq!(status, ExitStatus::Code(0));
    assert!(stdout == lines("out"), "{} bytes", stdout.len());
    assert!(stderr == lines("err"), "{} bytes", stderr.len());
}

#[test]
fn megabytes_of_any_bytes_come_through() {
    let mut agent = Agent::start();
    let directory = tempfile::tempdir().expect("a directory");
    let bytes: Vec<u8> = (0..5_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let path = directory.path().join("bytes");
    std::fs::write(&path, &bytes).expect("written");
    let Outcome { stdout, stderr, .. } =
        agent.run(sh(1, &format!("cat {} | tee /dev/stderr", path.display())));
    assert!(stdout == bytes && stderr == bytes, "{} and {} bytes", stdout.len(), stderr.len());
}

#[test]
fn a_step_gets_exactly_its_environment() {
    let mut agent = Agent::start();
    let env = [("A", "1"), ("EMPTY", ""), ("NEWLINE", "a\nb"), ("UMLAUT", "\u{e4}")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let argv = ["/usr/bin/env", "-0"].map(str::to_owned).to_vec();
    let outcome = agent.run(Step { argv, env, ..sh(1, "") });
    assert_eq!(outcome.stdout, "A=1\0EMPTY=\0NEWLINE=a\nb\0UMLAUT=\u{e4}\0".as_bytes());
}

#[test]
fn a_step_has_no_other_descriptor_and_nothing_on_stdin() {
    let mut agent = Agent::start();
    assert_eq!(agent.output_of("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ", "3 is that of ls itself");
    assert_eq!(agent.output_of("readlink /proc/self/fd/0; cat"), "/dev/null\n");
}

#[test]
fn the_files_of_a_step_exist_while_it_runs_and_may_be_longer_than_an_argument() {
    let mut agent = Agent::start();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("script").to_str().expect("UTF-8").to_owned();
    let text = "# 16 bytes long\n".repeat(4 << 16) + "echo the end\n";
    let file = |text: &str| TextFile {
        path: path.clone(),
        text: text.into(),
        if_exists: IfExists::Replace,
        mode: 0o644,
    };
    for (index, text, expected) in [(1, text.as_str(), "the end\n"), (2, "echo short\n", "short\n")] {
        let outcome = agent.run(Step { files: vec![file(text)], ..sh(index, &format!(". {path}")) });
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), expected);
        assert!(!std::path::Path::new(&path).exists(), "it is left");
    }
    // A step that cannot be started, and one whose files cannot be written, leave no files either.
    let lost = TextFile { path: "/proc/kiln/x".into(), ..file("") };
    for step in [
        Step { argv: vec!["/bin/missing".into()], files: vec![file("")], ..sh(3, "") },
        Step { files: vec![file(""), lost], ..sh(3, "") },
    ] {
        agent.send(&ToGuest::Run(step));
        assert!(matches!(agent.recv(), Some(FromGuest::Refused { step: 3, .. })));
        assert!(!std::path::Path::new(&path).exists(), "it is left");
    }
}

#[test]
fn every_user_can_open_the_streams_of_a_step() {
    if !is_root() {
        return skip("switching the user needs root");
    }
    let mut agent = Agent::start();
    let script = "echo out > /dev/stdout; echo err > /dev/stderr";
    for (index, user) in (0..).zip([User::Root, User::Name("nobody".into()), User::Uid(4242)]) {
        for script in [script.to_owned(), format!("setpriv --reuid 4343 --clear-groups sh -c '{script}'")] {
            if user != User::Root && script.starts_with("setpriv") {
                continue;
            }
            let outcome = agent.run(Step { user: user.clone(), ..sh(index, &script) });
            let seen = (outcome.stdout.as_slice(), outcome.stderr.as_slice(), outcome.status);
            assert_eq!(
                seen,
                (b"out\n".as_slice(), b"err\n".as_slice(), ExitStatus::Code(0)),
                "{user:?}: {script}"
            );
        }
    }
}

#[test]
fn a_step_starts_with_default_signals_its_own_session_and_umask_022() {
    let mut agent = Agent::start();
    let status = agent.output_of("grep -E '^(SigBlk|SigIgn|Umask)' /proc/self/status");
    let expected = "Umask:\t0022\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
    assert_eq!(status, expected);
    let ids = agent.output_of("cut -d' ' -f1,5,6 /proc/$$/stat");
    let ids: Vec<&str> = ids.split_whitespace().collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "pid, group, session: {ids:?}");
}

#[test]
fn a_step_starts_in_its_directory() {
    let mut agent = Agent::start();
    let directory = tempfile::tempdir().expect("a directory");
    let cwd = directory.path().to_str().expect("UTF-8").to_owned();
    let outcome = agent.run(Step { cwd: cwd.clone(), ..sh(1, "pwd") });
    assert_eq!(outcome.stdout, format!("{cwd}\n").into_bytes());
}

#[test]
fn a_step_runs_as_its_user_with_that_users_groups() {
    if !is_root() {
        return skip("switching the user needs root");
    }
    let mut agent = Agent::start();
    let cases = [
        (User::Root, "0 0 0\n"),
        (User::Name("nobody".into()), "65534 65534 65534\n"),
        (User::Uid(65534), "65534 65534 65534\n"),
        (User::Uid(4242), "4242 4242 4242\n"),
    ];
    for (index, (user, expected)) in (0..).zip(cases) {
        let outcome = agent.run(Step { user, ..sh(index, "echo $(id -u) $(id -g) $(id -G)") });
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), expected);
    }
}

#[test]
fn faults_of_the_build_file_are_refused_and_the_next_step_runs() {
    let mut agent = Agent::start();
    let cases = [
        (Step { user: User::Name("nobody-here".into()), ..sh(1, "") }, "no user nobody-here in /etc/passwd"),
        (
            Step { argv: vec!["/bin/missing".into()], ..sh(1, "") },
            "program /bin/missing: No such file or directory (os error 2)",
        ),
        (
            Step { cwd: "/missing".into(), ..sh(1, "") },
            "working directory /missing: No such file or directory (os error 2)",
        ),
        (Step { cwd: "/etc/passwd".into(), ..sh(1, "") }, "working directory /etc/passwd: not a directory"),
        (Step { argv: vec!["sh".into()], ..sh(1, "") }, "program \"sh\" is not an absolute path"),
        (Step { argv: Vec::new(), ..sh(1, "") }, "there is no program to run"),
    ];
    for (step, why) in cases {
        agent.send(&ToGuest::Run(step));
        assert_eq!(agent.recv(), Some(FromGuest::Refused { step: 1, why: why.into() }));
    }
    let program = "/etc/passwd".to_owned();
    agent.send(&ToGuest::Run(Step { argv: vec![program], ..sh(1, "") }));
    let Some(FromGuest::Refused { why, .. }) = agent.recv() else { panic!("a file that is no program ran") };
    assert!(why.starts_with("start /etc/passwd in / as uid"), "{why}");
    assert!(why.ends_with("Permission denied (os error 13)"), "{why}");
    assert_eq!(agent.output_of("echo next"), "next\n");
}
