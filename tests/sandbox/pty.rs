//! A program on a pseudo-terminal of its own, with typed input and the shown text.

use std::{
    fs::File,
    io::Write,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt},
    sys::termios::{LocalFlags, tcgetattr},
    unistd::read,
};

/// Longer than anything takes here, on a busy machine too: what is not seen by then never comes.
const HANG: Duration = Duration::from_secs(300);

/// A terminal, and the program that it controls.
pub(crate) struct Person {
    master: PtyMaster,
    child: Child,
    /// The terminal's name, for stty(1).
    name: String,
    /// All that was shown, and how much of it was looked at.
    shown: String,
    seen: usize,
}

impl Person {
    /// Starts `command` at a terminal of 30 lines of 100 columns, whose session it leads.
    pub(crate) fn at(command: &Command) -> Self {
        // No other process may inherit the master: the terminal would live on with it.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a pseudo-terminal can be opened");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it can be used");
        let name = ptsname_r(&master).expect("it has a name");
        let slave = File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(&name);
        let slave = slave.expect("its other end can be opened");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor can be copied"));
        let mut leader = Command::new("setsid");
        leader.arg("--ctty").arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            leader.current_dir(directory);
        }
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => leader.env(variable, value),
                None => leader.env_remove(variable),
            };
        }
        leader.env("TERM", "xterm-256color");
        leader.stdin(end()).stdout(end()).stderr(end());
        set_size(&name, 30, 100);
        let child = leader.spawn().expect("setsid can be started");
        Self { master, child, name, shown: String::new(), seen: 0 }
    }

    /// Presses keys.
    pub(crate) fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes what is typed");
    }

    /// Makes the window another size, and has the shell at it say so.
    #[track_caller]
    pub(crate) fn resizes(&mut self, rows: u16, columns: u16) {
        set_size(&self.name, rows, columns);
        let size = format!("{rows} {columns}");
        self.types(&format!(
            "until test \"$(stty size)\" = '{size}'; do read -t 0.1; done; echo is=$(stty size)\n"
        ));
        self.sees(&format!("is={size}\r\n"));
    }

    /// Reads on until `text` is shown; what was shown before it.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let deadline = Instant::now() + HANG;
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                let before = self.shown[self.seen..self.seen + at].to_owned();
                self.seen += at + text.len();
                return before;
            }
            assert!(self.reads(deadline), "{text:?} was not shown before the end: {}", self.shown);
        }
    }

    /// Waits until no process has the terminal any more: all that was shown, and how the program ended.
    #[track_caller]
    pub(crate) fn waits(mut self) -> (String, ExitStatus) {
        let deadline = Instant::now() + HANG;
        while self.reads(deadline) {}
        let status = self.child.wait().expect("the program can be waited for");
        (self.shown, status)
    }

    /// Kills the program as `kill -9` does, and waits until no process has the terminal any more; says whether it is as
    /// shells leave it.
    pub(crate) fn kills(mut self) -> bool {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
        let deadline = Instant::now() + HANG;
        while self.reads(deadline) {}
        self.is_usable()
    }

    /// Whether the terminal shows what is typed, and Ctrl-C is a signal.
    pub(crate) fn is_usable(&self) -> bool {
        let modes = tcgetattr(&self.master).expect("a terminal has modes");
        modes.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// The number of the program.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Reads something; false when no process has the other end any more.
    #[track_caller]
    fn reads(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).expect("it is minutes");
        let ready = poll(&mut [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)], left)
            .expect("it can be waited for");
        assert_eq!(ready, 1, "it hangs: {}", self.shown);
        let mut bytes = [0; 4096];
        match read(&self.master, &mut bytes) {
            Ok(0) | Err(Errno::EIO) => false,
            Ok(count) => {
                self.shown += &String::from_utf8_lossy(&bytes[..count]);
                true
            }
            Err(error) => panic!("the terminal cannot be read: {error}"),
        }
    }
}

fn set_size(terminal: &str, rows: u16, columns: u16) {
    let (rows, columns) = (rows.to_string(), columns.to_string());
    let status = Command::new("stty").args(["-F", terminal, "rows", &rows, "cols", &columns]).status();
    assert!(status.expect("stty can be started").success());
}
