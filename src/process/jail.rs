//! A jail for programs that run untrusted scripts as root: the maintainer scripts of Debian packages, a tar's content.
//!
//! ```text
//! kiln --> (unshare, ordinary users) --> kiln __jail --fork--> init, process 1 --fork--> the program
//!          may map the user's range      root directory,        /proc, pivot_root         limits, exec
//!                                        ids, namespaces
//! ```
//!
//! Its own namespaces: user, mount, pid, ipc, uts, cgroup, and network unless it is requested. Root inside is an id that
//! means nothing outside, also where kiln is root. The root directory is a tmpfs with what [`Jail::read_only`] names and one
//! writable directory. The host's tree is detached after pivot_root(2), so that a chroot(2) cannot be escaped to it. All mounts are
//! the namespace's: they end with its last process.
//!
//! The mounts are prepared with the rights of the invoking user, before the ids change, so that a directory that only that
//! user can search may hold the writable one. This module must not know what mmdebstrap is.

mod ids;
mod init;
mod limits;
mod root;

use std::{
    ffi::{OsStr, OsString},
    fs::{File, OpenOptions},
    os::{
        fd::{OwnedFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{libc, unistd::geteuid};

/// The first argument by which kiln's binary becomes the process that makes a jail.
pub const JAIL_ARGUMENT: &str = "__jail";

/// Where the jail's one writable directory is, inside.
pub const JAIL_DIRECTORY: &str = "/work";

/// The search path of programs, inside.
pub(super) const JAIL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The descriptor by which kiln's own program is executed: unshare(1) may come between, and the file may be replaced.
pub(super) const PROGRAM: RawFd = 9;

/// Which network a jail has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JailNetwork {
    /// The host's, for downloads: no script of a package runs in such a jail.
    Host,
    /// A loopback of its own.
    None,
}

/// A jail, to be given to [`super::Command::jail`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jail {
    /// A directory of this user's, in which the writable one is made and over which the jail's root is mounted.
    pub staging: PathBuf,
    /// Files and directories of the host that appear under the same path and cannot be written to. One that is missing is
    /// left out; a link of the root directory (`/bin`) stays one.
    pub read_only: Vec<PathBuf>,
    /// Empty directories inside.
    pub empty: Vec<PathBuf>,
    /// The network.
    pub network: JailNetwork,
}

/// The command line of the process that makes the jail.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    jail: Jail,
    /// The descriptors from 3 on that the program has.
    keep: Vec<RawFd>,
    argv: Vec<OsString>,
}

impl Jail {
    /// The command line of kiln's own program for `argv` in this jail; ordinary users have unshare(1) before it, by which
    /// the namespace gets the range of ids that is theirs (subuid(5)).
    pub(super) fn wrap(&self, keep: &[RawFd], argv: Vec<OsString>) -> Vec<OsString> {
        let Self { staging, read_only, empty, network } = self;
        let mut line: Vec<OsString> = Vec::new();
        if !geteuid().is_root() {
            line.extend(
                ["unshare", "--user", "--map-user=0", "--map-group=0", "--map-auto", "--"]
                    .map(OsString::from),
            );
        }
        line.extend([format!("/proc/self/fd/{PROGRAM}").into(), JAIL_ARGUMENT.into()]);
        line.extend(["--staging".into(), staging.into()]);
        for path in read_only {
            line.extend(["--read-only".into(), path.into()]);
        }
        for path in empty {
            line.extend(["--empty".into(), path.into()]);
        }
        for number in keep {
            line.extend(["--fd".into(), number.to_string().into()]);
        }
        match network {
            JailNetwork::Host => line.push("--network".into()),
            JailNetwork::None => {}
        }
        line.push("--".into());
        line.extend(argv);
        line
    }
}

impl Request {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut arguments = arguments.into_iter();
        let (read_only, empty, network) = (Vec::new(), Vec::new(), JailNetwork::None);
        let mut jail = Jail { staging: PathBuf::new(), read_only, empty, network };
        let mut keep = Vec::new();
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{} has no value", option.display()));
            match option.to_str() {
                Some("--staging") => jail.staging = value()?.into(),
                Some("--read-only") => jail.read_only.push(value()?.into()),
                Some("--empty") => jail.empty.push(value()?.into()),
                Some("--fd") => keep.push(value()?.to_string_lossy().parse().context("read a number")?),
                Some("--network") => jail.network = JailNetwork::Host,
                Some("--") => {
                    let argv: Vec<OsString> = arguments.collect();
                    ensure!(
                        !argv.is_empty() && jail.staging.is_absolute(),
                        "a jail needs a program and an absolute staging directory"
                    );
                    return Ok(Self { jail, keep, argv });
                }
                _ => bail!("unknown option of a jail: {}", option.display()),
            }
        }
        bail!("a jail without a program")
    }
}

/// kiln's own program, to be executed by descriptor.
pub(super) fn program(kiln: &Path) -> Result<OwnedFd> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(kiln);
    file.map(Into::into).with_context(|| format!("open {}", kiln.display()))
}

/// What `kiln __jail …` does: makes the jail, and ends as the program in it does.
pub fn jail_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Request::parse(arguments).and_then(|request| make(&request)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The standard error of this process goes to the report.
            let text = format!("make a jail: {error:#}\n");
            // Best effort: the exit code says it, too.
            let _ = nix::unistd::write(std::io::stderr(), text.as_bytes());
            ExitCode::from(EXIT_NO_JAIL)
        }
    }
}

/// The exit code where the jail could not be made, as env(1) and chroot(1) have for their own failures.
const EXIT_NO_JAIL: u8 = 125;

fn make(request: &Request) -> Result<u8> {
    let Request { jail, keep, argv } = request;
    let parent = nix::unistd::getppid();
    let ids = ids::JailIds::choose().context("find ids for the jail's user namespace")?;
    let namespace = ids.namespace().context("make a user namespace")?;
    root::prepare(jail, &ids).context("prepare the jail's root directory")?;
    init::enter(&namespace, jail.network, parent)?;
    init::run(keep, argv)
}

/// Opens a path with O_PATH.
fn open_path(path: &OsStr) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jails_command_line_is_read_as_it_was_written() {
        let jail = Jail {
            staging: "/a b/--staging".into(),
            read_only: vec!["/usr".into(), "--network".into()],
            empty: vec!["/etc/x".into()],
            network: JailNetwork::None,
        };
        let argv: Vec<OsString> = ["sh", "-c", "--", "--fd"].map(OsString::from).into();
        let line = jail.wrap(&[3, 4], argv.clone());
        let start = line.iter().position(|word| word == JAIL_ARGUMENT).expect("it is there") + 1;
        let request = Request::parse(line[start..].iter().cloned()).expect("valid");
        assert_eq!(request, Request { jail, keep: vec![3, 4], argv });
    }

    #[test]
    fn a_jail_without_a_program_or_a_staging_directory_is_refused() {
        for words in [
            &[][..],
            &["--staging", "/s"],
            &["--staging"],
            &["--staging", "/s", "--"],
            &["--", "sh"],
            &["sh"],
        ] {
            assert!(Request::parse(words.iter().map(OsString::from)).is_err(), "{words:?}");
        }
    }
}
