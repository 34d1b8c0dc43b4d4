//! The user's end of an interactive step: stdin and stdout of kiln, which may be pipes or a terminal.
//!
//! Before it: `commands`, which decides what is connected. After it: `engine`, which passes on input and output. A terminal is in
//! raw mode only while a step uses it. A guard restores its mode at the end, after an error, a panic or a signal (which drops the
//! work); after a SIGKILL the reaper does.

mod raw;

use std::{
    fs::File,
    io::{ErrorKind, IsTerminal, Read, Write, stderr, stdin, stdout},
    os::fd::{AsFd, OwnedFd},
};

use anyhow::{Context, Result};
use kiln_protocol::{Stdin, Stream, Terminal};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::read,
};
use terminal_size::{Height, Width, terminal_size_of};
use tokio::{
    io::unix::AsyncFd,
    signal::unix::{Signal, SignalKind, signal},
};

use self::raw::Raw;
use crate::{
    backend::BoxFuture,
    engine::{self, ConsoleInput, ReaderGone},
    exit::Failure,
    process::{Terminals, watch},
};

/// The size of a terminal that does not tell its own.
const SIZE: (u16, u16) = (24, 80);

/// `TERM` if it is not set.
const KIND: &str = "dumb";

/// The console of a step.
pub struct Console {
    stdin: StdinKind,
    input: Option<Input>,
    output: OutputStream,
}

enum StdinKind {
    /// Nothing: the step reads end of file.
    Empty,
    /// A pipe or file on stdin.
    Pipe,
    /// A terminal.
    Terminal { term: String, sizes: Signal, terminals: Terminals, raw: Option<Raw> },
}

/// The stream for the output of a step at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// stdout: it is what the user asked for.
    Stdout,
    /// stderr: stdout has other data.
    Stderr,
}

/// The stdin of kiln.
enum Input {
    /// A pipe or a terminal, which can be waited for.
    Polled(AsyncFd<OwnedFd>),
    /// A file: always ready.
    Plain(File),
}

impl Console {
    /// No stdin; output as it comes.
    pub fn unattended() -> Self {
        Self { stdin: StdinKind::Empty, input: None, output: OutputStream::Stdout }
    }

    /// The stdin of kiln, a terminal or not; output as it comes.
    ///
    /// # Errors
    /// When stdin is closed.
    pub fn piped() -> Result<Self> {
        Ok(Self { stdin: StdinKind::Pipe, input: Some(Input::open()?), output: OutputStream::Stdout })
    }

    /// A terminal, which `what` needs; `otherwise` is the way out if there is none.
    ///
    /// # Errors
    /// A usage error if stdin or the output is not a terminal.
    pub fn terminal(output: OutputStream, terminals: Terminals, what: &str, otherwise: &str) -> Result<Self> {
        let (name, shown) = match output {
            OutputStream::Stdout => ("stdout", stdout().is_terminal()),
            OutputStream::Stderr => ("stderr", stderr().is_terminal()),
        };
        let lacking = if stdin().is_terminal() { (!shown).then_some(name) } else { Some("stdin") };
        if let Some(lacking) = lacking {
            return Err(Failure::usage(format!("{what}: {lacking} is not a terminal"), otherwise).into());
        }
        let term = std::env::var("TERM").ok().filter(|term| !term.is_empty());
        let sizes = signal(SignalKind::window_change()).context("listen for the terminal's size")?;
        let stdin =
            StdinKind::Terminal { term: term.unwrap_or_else(|| KIND.into()), sizes, terminals, raw: None };
        Ok(Self { stdin, input: Some(Input::open()?), output })
    }
}

/// Lines and columns of the terminal at stdin.
fn size() -> (u16, u16) {
    terminal_size_of(stdin()).map_or(SIZE, |(Width(columns), Height(rows))| (rows, columns))
}

impl Input {
    fn open() -> Result<Self> {
        let copy = || stdin().as_fd().try_clone_to_owned().context("copy stdin");
        // epoll refuses files that are always ready: regular files, /dev/null.
        Ok(match watch(copy()?) {
            Ok(polled) => Self::Polled(polled),
            Err(_) => Self::Plain(File::from(copy()?)),
        })
    }

    /// Some bytes; none at the end. Other processes have the same stdin open, so its flags stay as they are, and it is read only
    /// when it has something.
    async fn read(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; limit];
        let count = loop {
            let read = match self {
                Self::Plain(file) => file.read(&mut bytes),
                Self::Polled(polled) => {
                    let mut ready = polled.readable().await.context("wait for stdin")?;
                    if !has_something(ready.get_inner())? {
                        ready.clear_ready();
                        continue;
                    }
                    read(ready.get_inner(), &mut bytes).map_err(std::io::Error::from)
                }
            };
            match read {
                Ok(count) => break count,
                // EIO: the terminal is gone.
                Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => break 0,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error).context("read stdin"),
            }
        };
        bytes.truncate(count);
        Ok(bytes)
    }
}

/// Whether a read would not wait.
fn has_something(file: &OwnedFd) -> Result<bool> {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error).context("look at stdin"),
    }
}

impl engine::Console for Console {
    fn stdin(&self) -> Stdin {
        match &self.stdin {
            StdinKind::Empty => Stdin::Null,
            StdinKind::Pipe => Stdin::Pipe,
            StdinKind::Terminal { term, .. } => {
                let (rows, columns) = size();
                Stdin::Terminal(Terminal { term: term.clone(), rows, columns })
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        if let StdinKind::Terminal { terminals, raw, .. } = &mut self.stdin {
            *raw = Some(Raw::begin(terminals)?);
        }
        Ok(())
    }

    fn finish(&mut self) {
        if let StdinKind::Terminal { raw, .. } = &mut self.stdin {
            *raw = None;
        }
    }

    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<ConsoleInput>> {
        Box::pin(async move {
            let Self { stdin, input, .. } = self;
            let resized = async {
                match stdin {
                    StdinKind::Terminal { sizes, .. } => sizes.recv().await,
                    StdinKind::Empty | StdinKind::Pipe => std::future::pending().await,
                }
            };
            let read = async {
                match input {
                    Some(input) if limit > 0 => input.read(limit).await,
                    Some(_) | None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = resized => {
                    let (rows, columns) = size();
                    Ok(ConsoleInput::Size { rows, columns })
                }
                bytes = read => {
                    let bytes = bytes?;
                    if bytes.is_empty() {
                        self.input = None;
                        return Ok(ConsoleInput::End);
                    }
                    Ok(ConsoleInput::Bytes(bytes))
                }
            }
        })
    }

    fn show(&mut self, stream: Stream, bytes: &[u8]) -> Result<()> {
        let to_stderr = stream == Stream::Stderr || self.output == OutputStream::Stderr;
        let written = if to_stderr { write(stderr(), bytes) } else { write(stdout(), bytes) };
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
            written => written.context("write the output of the command"),
        }
    }
}

fn write(mut to: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
