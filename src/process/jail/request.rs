//! A jail, and the command line of the process that makes it.

use std::{ffi::OsString, os::fd::RawFd, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;

/// The first argument by which kiln's binary becomes the process that makes a jail.
pub const JAIL_ARGUMENT: &str = "__jail";

/// Where the jail's one writable directory is, inside.
pub const JAIL_DIRECTORY: &str = "/work";

/// The search path of programs, inside.
pub(in crate::process) const JAIL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The descriptor by which kiln's own program is executed: unshare(1) may come between, and the file may be replaced.
pub(in crate::process) const PROGRAM: RawFd = 9;

/// Which network a jail has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JailNetwork {
    /// The host's, for downloads: no script of a package runs in such a jail.
    Host,
    /// A loopback of its own.
    None,
}

/// A jail, to be given to [`crate::process::Command::jail`].
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
pub(super) struct Request {
    pub(super) jail: Jail,
    /// The descriptors from 3 on that the program has.
    pub(super) keep: Vec<RawFd>,
    pub(super) argv: Vec<OsString>,
}

impl Jail {
    /// The command line of kiln's own program for `argv` in this jail; ordinary users have unshare(1) before it, by which
    /// the namespace gets the range of ids that is theirs (subuid(5)).
    pub(in crate::process) fn wrap(&self, keep: &[RawFd], argv: Vec<OsString>) -> Vec<OsString> {
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
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
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
