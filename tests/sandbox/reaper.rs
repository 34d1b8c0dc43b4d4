//! A reaper that is stopped does not keep kiln from ending.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{assert_clean, command, has_bwrap, project};

/// A kiln that takes so long to end will never do so.
const HANGS: Duration = Duration::from_secs(120);

/// The reaper of a kiln.
fn reaper_of(kiln: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{kiln}/task/{kiln}/children")).ok()?;
    let is_reaper = |pid: &&str| {
        let cmdline = fs::read(Path::new("/proc").join(pid).join("cmdline")).unwrap_or_default();
        cmdline.split(|&byte| byte == 0).any(|argument| argument == b"__reaper")
    };
    let pid = children.split_ascii_whitespace().find(is_reaper)?;
    pid.parse().ok().map(Pid::from_raw)
}

/// Kills what hangs, so that the test fails instead; dropping the answer prevents it.
fn kill_unless_told(pid: Pid) -> Sender<()> {
    let (told, ended) = channel();
    thread::spawn(move || {
        if ended.recv_timeout(HANGS) == Err(RecvTimeoutError::Timeout) {
            kill(pid, Signal::SIGKILL).expect("it is there");
        }
    });
    told
}

#[test]
fn a_stopped_reaper_changes_neither_end_nor_code() {
    if !has_bwrap() {
        return;
    }
    let endings = [
        ("true", None, 0),
        ("exit 3", None, 5),
        ("sleep 1000", Some(Signal::SIGINT), 130),
        ("sleep 1000", Some(Signal::SIGTERM), 143),
    ];
    for (end, signal, code) in endings {
        let (_directory, project) = project();
        // The test says when the step ends: the sandbox has a copy of the source that it cannot reach, but not of the cache.
        let cache = project.join("cache");
        fs::create_dir(&cache).expect("made");
        let step = format!("until test -e /var/cache/melange/go-on; do sleep 0.1; done; {end}");
        let mut command = command(&project, "root", &[&step], &["--progress", "plain"]);
        let mut kiln = command.stderr(Stdio::piped()).spawn().expect("kiln can be started");
        let mut lines = BufReader::new(kiln.stderr.take().expect("it is piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("started"))), "no step was started");
        let reaper = reaper_of(kiln.id()).expect("it has one");
        kill(reaper, Signal::SIGSTOP).expect("it is there");
        fs::write(cache.join("go-on"), "").expect("written");
        if let Some(signal) = signal {
            kill(Pid::from_raw(kiln.id().cast_signed()), signal).expect("it is there");
        }
        let ended = kill_unless_told(Pid::from_raw(kiln.id().cast_signed()));
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        drop(ended);
        assert_eq!(kiln.wait().expect("it ends").code(), Some(code), "{end} {signal:?}: {rest:?}");
        assert_eq!(kill(reaper, None), Err(nix::errno::Errno::ESRCH), "{end} {signal:?}: the reaper is left");
        assert_clean(&project);
    }
}
