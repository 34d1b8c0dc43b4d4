//! One build of several on a shared cache: its start, the processes to kill, and its report on the cache.

use std::{
    fmt, fs,
    io::Read,
    process::{Child, Stdio},
    thread::{self, JoinHandle},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::oracle::{LOOK, WORK};
use crate::{place::Place, process_tree, sampling::Sampler};

/// The guest of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Bubblewrap,
    Docker,
    NineP,
    Virtiofs,
    Embedded,
}

/// How it uses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Commit,
    Discard,
    ReadOnly,
    Through,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Discard => "discard",
            Self::ReadOnly => "ro",
            Self::Through => "rw",
        }
    }
}

/// Whom a kill is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Kiln,
    /// Anything that kiln has started: bwrap, agent, shell, QEMU, virtiofsd, the docker command.
    Child,
}

/// A build that runs.
pub(super) struct Running {
    name: String,
    backend: Backend,
    mode: Mode,
    child: Child,
    output: JoinHandle<String>,
    errors: JoinHandle<String>,
}

/// A build that has ended.
pub(super) struct Ended {
    pub(super) name: String,
    backend: Backend,
    pub(super) mode: Mode,
    pub(super) succeeded: bool,
    /// Whether kiln said that the cache was kept.
    pub(super) kept: bool,
    /// Its last words.
    said: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, backend, mode, succeeded, kept, said } = self;
        write!(f, "{name} ({backend:?}, {mode:?}), success {succeeded}, said to be kept {kept}: {said}")
    }
}

impl Running {
    pub(super) fn start(place: &Place, name: String, backend: Backend, mode: Mode) -> Self {
        let file = place.project().join(format!("{name}.yaml"));
        let step = match mode {
            Mode::ReadOnly => format!("{LOOK}! touch x"),
            Mode::Commit | Mode::Discard | Mode::Through => format!("{LOOK}{WORK}").replace("NAME", &name),
        };
        let step = step.trim().replace('\n', "\n      ");
        let text = format!(
            "package:\n  name: {name}\n  version: 1.0.0\n  epoch: 0\npipeline:\n  - runs: |\n      {step}\n"
        );
        fs::write(file, text).unwrap();
        let mut kiln = place.kiln();
        kiln.args(["build", "--progress", "json", "--cache-dir", "cache", "--network", "off"]).args([
            "--cache-mode",
            mode.name(),
            "--cache-wait",
            "10m",
            "--out-dir",
            &format!("packages-{name}"),
        ]);
        match backend {
            Backend::Bubblewrap => kiln.args(["--runner", "bubblewrap"]),
            Backend::Docker => kiln.args(["--runner", "docker"]),
            Backend::NineP => kiln.args(["--accel", "tcg", "--memory", "1Gi", "--cpu", "1"]),
            Backend::Virtiofs => {
                kiln.env("QEMU_USE_VIRTIOFS", "1").args(["--accel", "tcg", "--memory", "1Gi", "--cpu", "1"])
            }
            Backend::Embedded => {
                kiln.args(["--virtiofsd", "embedded", "--accel", "tcg", "--memory", "1Gi", "--cpu", "1"])
            }
        };
        kiln.arg(format!("{name}.yaml")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kiln.spawn().unwrap();
        let output = all(child.stdout.take().unwrap());
        let errors = all(child.stderr.take().unwrap());
        Self { name, backend, mode, child, output, errors }
    }

    /// Kills one of its processes; false when all of it is over.
    pub(super) fn kill(&mut self, victim: Victim, sampler: &mut Sampler) -> bool {
        if self.child.try_wait().unwrap().is_some() {
            return false;
        }
        let kiln = self.child.id().cast_signed();
        let pid = match victim {
            Victim::Kiln => kiln,
            Victim::Child => {
                let children = process_tree::descendants(kiln);
                if children.is_empty() {
                    return false;
                }
                children[usize::try_from(sampler.below(children.len() as u64)).unwrap()]
            }
        };
        kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()
    }

    /// Waits for its end.
    pub(super) fn end(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let output = self.output.join().unwrap();
        let errors = self.errors.join().unwrap();
        let events = output.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let kept = events.filter(|event| event["event"] == "cache").any(|event| event["persisted"] == true);
        let last = output.lines().last().unwrap_or_default();
        Ended {
            name: self.name,
            backend: self.backend,
            mode: self.mode,
            succeeded: status.success(),
            kept,
            said: format!("{status}: {last}\n{errors}"),
        }
    }
}

/// Reads a stream to its end, in a thread, so that no program waits for the reader of another stream.
fn all(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
