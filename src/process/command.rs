//! A program to be started: arguments, environment, descriptors and namespace.
//!
//! Before it: the module that knows the program. After it: [`super::Spawner::spawn`]. It must not start anything by itself.

use std::{
    ffi::{OsStr, OsString},
    io::ErrorKind,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use nix::libc;

use super::{
    child::Child,
    exec::{self, ChildSetup},
    jail::{self, Jail},
    namespace::IdMap,
    reaper_client::{self, ReaperClient},
};
use crate::exit::Failure;

/// Where one of the three standard streams goes.
#[derive(Debug)]
pub enum Stdio {
    /// `/dev/null`.
    Null,
    /// A pipe, whose other end the [`Child`] has.
    Piped,
    /// The same as kiln's.
    Inherit,
    /// This descriptor.
    File(OwnedFd),
}

impl From<Stdio> for std::process::Stdio {
    fn from(stdio: Stdio) -> Self {
        match stdio {
            Stdio::Null => Self::null(),
            Stdio::Piped => Self::piped(),
            Stdio::Inherit => Self::inherit(),
            Stdio::File(fd) => Self::from(fd),
        }
    }
}

/// A program to be started. All three standard streams are `/dev/null` by default.
#[derive(Debug)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    clear_env: bool,
    current_dir: Option<PathBuf>,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    fds: Vec<(OwnedFd, RawFd)>,
    ids: Option<IdMap>,
    cgroups: Vec<OwnedFd>,
    jail: Option<Jail>,
}

impl Command {
    /// A program: a path, or a name to be found in `$PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            current_dir: None,
            stdin: Stdio::Null,
            stdout: Stdio::Null,
            stderr: Stdio::Null,
            fds: Vec::new(),
            ids: None,
            cgroups: Vec::new(),
            jail: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets variables of its environment.
    #[must_use]
    pub fn envs(
        mut self,
        variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Self {
        self.env.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Its environment has the variables of [`Self::env`] only.
    #[must_use]
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    /// Its working directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(dir.into());
        self
    }

    /// Its standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdin = stdin;
        self
    }

    /// Its standard output.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.stdout = stdout;
        self
    }

    /// Its standard error.
    #[must_use]
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.stderr = stderr;
        self
    }

    /// It has `fd` as its descriptor `number` (3 and above, each number once).
    #[must_use]
    pub fn fd(mut self, fd: OwnedFd, number: RawFd) -> Self {
        self.fds.push((fd, number));
        self
    }

    /// It runs in its own user namespace.
    #[must_use]
    pub fn user_namespace(mut self, ids: IdMap) -> Self {
        self.ids = Some(ids);
        self
    }

    /// It runs in these control groups: a `cgroup.procs` of each, open for writing.
    #[must_use]
    pub fn cgroups(mut self, cgroups: Vec<OwnedFd>) -> Self {
        self.cgroups = cgroups;
        self
    }

    /// It runs as root of this jail, in the jail's root directory, with the variables of [`Self::env`] only.
    #[must_use]
    pub fn jail(mut self, jail: Jail) -> Self {
        self.jail = Some(jail);
        self
    }

    /// Program and arguments.
    pub fn argv(&self) -> Vec<&OsStr> {
        std::iter::once(&self.program).chain(&self.args).map(OsString::as_os_str).collect()
    }

    /// The program's name without its directory, for messages.
    pub fn program_name(&self) -> String {
        Path::new(&self.program).file_name().unwrap_or(&self.program).to_string_lossy().into_owned()
    }

    /// Replaces the command by that of the process that makes the jail, which becomes the parent of the program.
    fn jailed(mut self, jail: &Jail, kiln: &Path) -> Result<Self> {
        ensure!(in_search_path(&self.program), missing(&self.program));
        let keep: Vec<RawFd> = self.fds.iter().map(|(_, number)| *number).collect();
        let argv = std::iter::once(self.program).chain(self.args).collect();
        let mut line = jail.wrap(&keep, argv).into_iter();
        self.program = line.next().context("a jail has a command line")?;
        self.args = line.collect();
        self.fds.push((jail::program(kiln)?, jail::PROGRAM));
        Ok(self.clear_env().env("PATH", jail::JAIL_PATH))
    }

    pub(super) fn spawn(mut self, reaper: &Arc<ReaperClient>, withheld: &[OsString]) -> Result<Child> {
        let name = self.program_name();
        if let Some(jail) = self.jail.take() {
            self = self.jailed(&jail, reaper.kiln())?;
        }
        let Self {
            program,
            args,
            env,
            clear_env,
            current_dir,
            stdin,
            stdout,
            stderr,
            fds,
            ids,
            cgroups,
            jail: _,
        } = self;
        let reserved = reserve(&fds)?;
        let setup = ChildSetup::new(reaper.as_fd().as_raw_fd(), fds, ids, cgroups);
        let mut command = std::process::Command::new(&program);
        if clear_env {
            command.env_clear();
        }
        withheld.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.args(args).envs(env).env(reaper_client::MARKER_VARIABLE, reaper.marker());
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        if let Some(dir) = &current_dir {
            command.current_dir(dir);
        }
        exec::install(&mut command, setup);
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn();
        drop(reserved);
        match child {
            Ok(child) => Child::new(child, Arc::clone(reaper)).with_context(|| format!("watch {name}")),
            Err(error)
                if error.kind() == ErrorKind::NotFound && current_dir.is_none_or(|dir| dir.is_dir()) =>
            {
                Err(missing(&program).into())
            }
            Err(error) => Err(error).with_context(|| format!("start {}", program.display())),
        }
    }
}

/// Whether this machine has a program that runs in a jail: an error inside the jail would not show that.
fn in_search_path(program: &OsStr) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.as_encoded_bytes().contains(&b'/')
        || std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn missing(program: &OsStr) -> Failure {
    let what = match program.as_encoded_bytes().contains(&b'/') {
        true => format!("{} does not exist", program.display()),
        false => format!("{} is not installed: it is in no directory of $PATH", program.display()),
    };
    Failure::host(what, format!("Install the package that has {}.", program.display()))
}

/// Occupies the numbers that descriptors will have in the child, so that the pipe by which the standard library reports a failed
/// exec gets another one and is not overwritten.
fn reserve(fds: &[(OwnedFd, RawFd)]) -> Result<Vec<OwnedFd>> {
    let mut reserved = Vec::new();
    for (at, (fd, number)) in fds.iter().enumerate() {
        ensure!(*number > libc::STDERR_FILENO, "descriptor {number} is one of the standard streams");
        ensure!(fds[..at].iter().all(|(_, other)| other != number), "descriptor {number} is requested twice");
        let copy = rustix::io::fcntl_dupfd_cloexec(fd, *number);
        reserved.push(copy.with_context(|| format!("reserve descriptor {number}"))?);
    }
    Ok(reserved)
}
