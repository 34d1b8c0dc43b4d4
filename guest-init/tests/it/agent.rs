//! A running agent, and a minimal host side of the protocol.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use kiln_protocol::{
    ExitStatus, FromGuest, GuestConfig, Stdin, Step, Stream, ToGuest, User, VERSION,
    frame::{Decoder, MAX_FRAME, MAX_REQUEST, encode},
};

/// Prints why a test does not run here; fails where all tests must run.
pub(crate) fn skip(why: &str) {
    #[expect(clippy::print_stdout, reason = "a skipped test must be seen")]
    {
        println!("SKIP: {why}");
    }
    assert!(std::env::var_os("KILN_REQUIRE_ALL").is_none_or(|all| all != "1"), "skipped: {why}");
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The namespaces of an isolated agent, as options of unshare(1).
const ISOLATED: [&str; 6] = ["--pid", "--mount", "--net", "--uts", "--fork", "--mount-proc"];

/// Whether [`Agent::start_isolated`] works here; else prints why a test does not run. It takes root, and a root directory that is
/// a mount point, unlike that of a chroot.
pub(crate) fn can_isolate() -> bool {
    if !is_root() {
        skip("namespaces and mounts need root");
        return false;
    }
    can_unshare(&ISOLATED)
}

/// Whether unshare(1) can make these namespaces here; else prints why a test does not run.
pub(crate) fn can_unshare(namespaces: &[&str]) -> bool {
    let tried =
        Command::new("unshare").args(namespaces).arg("true").output().expect("unshare can be started");
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr);
        skip(&format!("unshare {}: {}", namespaces.join(" "), why.trim_end()));
    }
    tried.status.success()
}

/// A running agent.
pub(crate) struct Agent {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    output: ChildStdout,
    decoder: Decoder,
}

/// The output and status of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) status: ExitStatus,
}

impl Agent {
    /// One that shares our namespaces, with an empty configuration.
    pub(crate) fn start() -> Self {
        Self::with_config(&mut Command::new(env!("CARGO_BIN_EXE_guest-init")), empty_config())
    }

    /// One that is PID 1 of its own namespaces, where that is [possible](can_isolate).
    pub(crate) fn start_isolated(config: GuestConfig) -> Self {
        let mut command = Command::new("unshare");
        Self::with_config(command.args(ISOLATED).arg(env!("CARGO_BIN_EXE_guest-init")), config)
    }

    /// One that this command starts, with this configuration.
    pub(crate) fn with_config(command: &mut Command, config: GuestConfig) -> Self {
        let mut agent = Self::unprepared(command);
        agent.send(&ToGuest::Prepare(config.into()));
        let ready = agent.recv();
        assert!(matches!(ready, Some(FromGuest::Ready { .. })), "{ready:?}");
        agent
    }

    /// One that has sent Hello only.
    pub(crate) fn unprepared(command: &mut Command) -> Self {
        let command = command.arg("--stdio").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the agent starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("stdout is piped"));
        let mut agent = Self { child, input, output, decoder: Decoder::default() };
        let hello = agent.recv();
        assert!(matches!(hello, Some(FromGuest::Hello { version: VERSION, .. })), "{hello:?}");
        agent
    }

    pub(crate) fn send(&mut self, request: &ToGuest) {
        let frame = encode(request, MAX_REQUEST).expect("a request fits a frame");
        self.input.as_mut().expect("the channel is open").write_all(&frame).expect("the agent reads");
    }

    /// The next message; `None` when the agent has ended.
    pub(crate) fn recv(&mut self) -> Option<FromGuest> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            if let Some(message) = self.decoder.next(MAX_FRAME).expect("whole messages") {
                return Some(message);
            }
            match self.output.read(&mut bytes).expect("the channel can be read") {
                0 => return None,
                count => self.decoder.push(&bytes[..count]),
            }
        }
    }

    /// Receives the messages of a step up to its end.
    pub(crate) fn finish(&mut self, index: u32) -> Outcome {
        let mut outcome = Outcome { stdout: Vec::new(), stderr: Vec::new(), status: ExitStatus::Code(-1) };
        loop {
            match self.recv() {
                Some(FromGuest::Output { step, stream, bytes }) if step == index => match stream {
                    Stream::Stdout => outcome.stdout.extend(bytes),
                    Stream::Stderr => outcome.stderr.extend(bytes),
                },
                Some(FromGuest::Ended { step, status, .. }) if step == index => {
                    return Outcome { status, ..outcome };
                }
                other => panic!("step {index} was answered with {other:?}"),
            }
        }
    }

    /// Runs a step to its end.
    pub(crate) fn run(&mut self, step: Step) -> Outcome {
        let index = step.index;
        self.send(&ToGuest::Run(step));
        self.finish(index)
    }

    /// Runs a script and returns its stdout; it must succeed and write nothing to stderr.
    pub(crate) fn output_of(&mut self, script: &str) -> String {
        let Outcome { stdout, stderr, status } = self.run(sh(9000, script));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!((status, text(&stderr)), (ExitStatus::Code(0), String::new()), "{script}");
        text(&stdout)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Closing the channel ends the agent.
        self.input = None;
        // Best effort: a test that fails must not fail twice.
        drop(self.child.wait());
    }
}

/// A script for `/bin/sh`, as the user that runs the tests.
pub(crate) fn sh(index: u32, script: &str) -> Step {
    Step {
        index,
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        files: Vec::new(),
        env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
        cwd: "/".into(),
        user: User::Uid(nix::unistd::geteuid().as_raw()),
        stdin: Stdin::Null,
        timeout_ms: None,
    }
}

/// An empty configuration.
pub(crate) fn empty_config() -> GuestConfig {
    GuestConfig {
        late_devices: false,
        clock_ns: None,
        entropy: Vec::new(),
        modules: Vec::new(),
        mounts: Vec::new(),
        hostname: None,
        network: None,
        groups: Vec::new(),
        identities: Vec::new(),
        files: Vec::new(),
        capabilities: None,
        track_reads: None,
        memory: None,
        written: Vec::new(),
        limits: Vec::new(),
        user_namespace: None,
        seccomp: Vec::new(),
        on_exit: Vec::new(),
    }
}
