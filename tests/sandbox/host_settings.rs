//! Host settings of a sandbox: certificates, a proxy, secrets.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};

use super::{
    authority::authority,
    command, has_bwrap,
    host_settings_cases::{ASK_PROXY, FETCH, SERVE, USE_SECRET, give_secret, holds_secret, needles},
    project,
    proxy::Proxy,
    said,
};

/// Longer than a build that is ended takes here, on a busy machine too, and less than kiln waits for a pipe.
const HANG: Duration = Duration::from_secs(50);

#[test]
fn an_authority_is_trusted_when_it_is_given_and_only_then() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let ca = authority(&project);
    let ca = ca.to_str().expect("UTF-8");
    let build = |certificates: &str| {
        let more = ["--source-dir", "source", "--network", "off", "--host-certs", certificates];
        command(&project, "root", &[SERVE, FETCH], &more).output().expect("kiln can be started")
    };
    let output = build(ca);
    assert!(output.status.success(), "{}", said(&output));
    let pipe = project.join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).expect("made");
    let output = thread::scope(|scope| {
        scope.spawn(|| fs::write(&pipe, fs::read(ca).expect("read")).expect("it is read, once"));
        build(pipe.to_str().expect("UTF-8"))
    });
    assert!(output.status.success(), "{}", said(&output));
    let output = build("off");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("verify"), "{}", said(&output));
}

#[test]
fn a_proxy_on_loopback_is_reached_directly_by_any_of_its_names() {
    if !has_bwrap() {
        return;
    }
    let ((_directory, project), proxy) = (project(), Proxy::start());
    let mut command = command(&project, "build", &[ASK_PROXY], &[]);
    let url = proxy.url().replace("localhost", "Build.LocalHost.");
    let output = command.env("HTTPS_PROXY", url).output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("hello through the proxy\n"), "{}", said(&output));
    assert_eq!(proxy.asked(), ["far.away.test:443"]);
}

#[test]
fn a_secret_reaches_the_steps_user_and_nothing_else() {
    if !has_bwrap() {
        return;
    }
    let (directory, project) = project();
    let home = directory.path().join("home");
    fs::create_dir(&home).expect("made");
    let everybodys = kiln::home::Home::find(&kiln::env::Env::of_process()).expect("there is one");
    for name in ["images", "memos"] {
        symlink(everybodys.dir(name).expect("it can be made"), home.join(name)).expect("linked");
    }
    let elsewhere = tempfile::tempdir().expect("a directory can be made");
    let mut command = command(&project, "build", &[USE_SECRET], &["--log-level", "trace"]);
    give_secret(&mut command, elsewhere.path());
    let output = command.env("KILN_HOME", &home).output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    assert!(project.join("cache/kept").is_file());
    for needle in needles() {
        assert!(!said(&output).contains(&needle), "{needle}");
    }
    assert!(said(&output).contains("***"), "{}", said(&output));
    for place in [project.clone(), super::scratch(&project), home] {
        assert_eq!(holds_secret(&place), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_proxys_password_is_shown_in_no_form() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    // Lines of output begin with the step, in which it does not stand.
    let step = "part=ss; echo url=$HTTP_PROXY token=$HTTPS_PROXY
echo is=pa/${part}w0rd; printf u:pa/${part}w0rd | base64";
    for progress in ["plain", "json"] {
        let mut build = command(&project, "build", &[step], &["--progress", progress]);
        build
            .env("HTTP_PROXY", "http://u:pa/ssw%30rd@proxy.test:3128")
            .env("HTTPS_PROXY", "tok-3n@proxy.test");
        let output = build.env("ALL_PROXY", "http://u:p@proxy.test").output().expect("kiln can be started");
        let text = said(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        for line in ["url=http://u:***@proxy.test:3128", "is=***", " token=***@proxy.test"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.contains("the password of ALL_PROXY: too short to be masked in output"), "{text}");
        let secrets = ["ssw0rd", "ssw%30rd", "tok-3n", "dTpwYS9zc3cwcmQ"];
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
    for more in [&[][..], &["--json"]] {
        let mut plan = Command::new(env!("CARGO_BIN_EXE_kiln"));
        plan.args(["plan", "--runner", "bubblewrap", "--cache-dir", "", "file.yaml"]).args(more);
        plan.current_dir(&project).env("HTTPS_PROXY", "tok-3n@proxy.test");
        let output = plan.env("HTTP_PROXY", "http://u:pa/ssw%30rd@proxy.test:3128").output();
        let output = output.expect("kiln can be started");
        let text = said(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("http://u:***@proxy.test:3128"), "{text}");
        assert!(!text.contains("ssw%30rd") && !text.contains("tok-3n"), "{text}");
    }
}

#[test]
fn a_plan_is_for_people_and_for_machines_and_makes_nothing() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let file = "package: {name: sample, version: '1', epoch: 0}\nenvironment: {environment: {SHARED: all}}\npipeline:\n\
        - runs: echo one\n- runs: echo two\n  environment: {OWN: two}\n";
    fs::write(project.join("file.yaml"), file).expect("written");
    let plan = |more: &[&str]| {
        let mut plan = Command::new(env!("CARGO_BIN_EXE_kiln"));
        plan.args(["plan", "--runner", "bubblewrap", "file.yaml"]).args(more).current_dir(&project);
        let output = plan.output().expect("kiln can be started");
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = plan(&[]);
    assert_eq!(text.matches("SHARED=all").count(), 1, "{text}");
    assert!(text.contains("  OWN=two\n  | echo two\n"), "{text}");
    // Names of Rust's types, and numbers that are read in another base than they are written in.
    for word in ["NineP", "Some(", "ReadOnly", "mode: ", "493", " { "] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let document: serde_json::Value = serde_json::from_str(&plan(&["--json"])).expect("JSON");
    assert_eq!(document["package"]["name"], "sample");
    assert_eq!(document["steps"][1]["environment"]["OWN"], "two");
    assert_eq!(document["steps"][0]["runs"], "echo one");
    assert_eq!(document["command_lines"][0].as_array().expect("a list").last().expect("a word"), "--stdio");
    assert!(document["mounts"].as_array().is_some_and(|mounts| !mounts.is_empty()));
    let explained = plan(&["--explain"]);
    assert!(explained.starts_with("explained    sample") && !explained.contains("mounts"), "{explained}");
    assert!(!project.join("melange-cache").exists() && !project.join("packages").exists());
}

#[test]
fn a_secret_in_the_source_is_in_no_copy_of_it() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    fs::create_dir(project.join("keys")).expect("made");
    fs::write(project.join("keys/token"), "hunter22-and-more\n").expect("written");
    let step = "test -s /run/secrets/token && test -d keys && test ! -e keys/token && exit 3; exit 4";
    let more = ["--secret", "id=token,src=keys/token", "--progress", "plain", "--keep-on-failure"];
    let output = command(&project, "build", &[step], &more).output();
    let text = said(&output.expect("kiln can be started"));
    assert!(text.contains("keys/token: hidden from the build, since it is a secret"), "{text}");
    assert!(text.contains("exited with status 3"), "{text}");
    let kept = text.lines().find_map(|line| line.strip_prefix("the workspace of the failed step is kept: "));
    let kept = PathBuf::from(kept.unwrap_or_else(|| panic!("{text}")));
    let tar = fs::read(&kept).expect("it is there");
    assert!(!tar.windows(8).any(|window| window == b"hunter22"));
    assert!(tar.windows(5).any(|window| window == b"keys/"));
    fs::remove_dir_all(kept.parent().expect("it is in a directory of its own")).expect("removed");
}

#[test]
fn a_pipe_is_waited_for_and_a_signal_ends_the_wait() {
    if !has_bwrap() {
        return;
    }
    let (directory, project) = project();
    let pipe = directory.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).expect("made");
    let start = || {
        let secret = format!("--secret=id=token,src={}", pipe.display());
        let mut command = command(&project, "build", &["cat /run/secrets/token"], &[&secret]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        // It opens once kiln does.
        (child.expect("kiln can be started"), fs::File::options().write(true).open(&pipe).expect("opened"))
    };
    let (child, mut writer) = start();
    writer.write_all(b"hunter22\n").expect("it is read");
    drop(writer);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && said(&output).contains("***"), "{}", said(&output));
    ended_by_signals(start);
    super::assert_clean(&project);
}

#[test]
fn a_signal_ends_the_wait_for_a_pipe_in_every_other_place_of_a_file() {
    let (directory, project) = project();
    let pipe = directory.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).expect("made");
    let pipe = pipe.to_str().expect("UTF-8");
    let file = "package:\n  name: sample\n  version: 1.0\n  epoch: 0\npipeline:\n  - runs: 'true'\n";
    fs::write(project.join("file.yaml"), file).expect("written");
    let places: [&[&str]; 4] = [
        &[pipe],
        &["file.yaml", "--env-file", pipe],
        &["file.yaml", "--vars-file", pipe],
        &["file.yaml", "--host-certs", pipe],
    ];
    // The bundle is read when the sandbox is about to start.
    for arguments in &places[..if has_bwrap() { 4 } else { 3 }] {
        ended_by_signals(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
            command.args(["build", "--runner", "bubblewrap", "--cache-dir", ""]).args(*arguments);
            command
                .current_dir(&project)
                .env("QEMU_DISKS_PATH", super::scratch(&project))
                .stdin(Stdio::null());
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let writer = fs::File::options().write(true).open(pipe).expect("opened");
            (child.expect("kiln can be started"), writer)
        });
    }
    super::assert_clean(&project);
}

/// Each signal ends a kiln that waits for the writer's end, with its code.
fn ended_by_signals(start: impl Fn() -> (Child, fs::File)) {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (child, writer) = start();
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("it is there");
        let (ended, end) = mpsc::channel();
        let waiting = thread::spawn(move || ended.send(child.wait_with_output().expect("it ends")));
        // A kiln that ignores the signal waits for the writer's end.
        let output = end.recv_timeout(HANG);
        drop(writer);
        waiting.join().expect("it ended").expect("it is taken");
        let output = output.expect("the signal is heeded");
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    }
}
