//! kiln's own virtiofs device: this program once more, as a vhost-user back end in a process of its own.
//!
//! ```text
//! kiln --> kiln __virtiofs …  (waits)  --> process 1 of its namespaces, root = the shared directory
//!   QEMU <==== vhost-user ====>              a thread a queue: queue -> virtiofsd's FUSE server -> checks -> passthrough
//! ```
//!
//! The file system and the FUSE messages are those of the `virtiofsd` crate, which ends the process in some of its functions and
//! changes its umask: it must not run in kiln's process. Queues, names, confinement and system calls are kiln's.

/// Methods of a file system that are those of the one inside it.
macro_rules! forward {
    ($(fn $method:ident$(<$generic:ident: $bound:ident>)?($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $method$(<$generic: $bound>)?(&self, $($argument: $type),*) -> $result {
            self.fs.$method($($argument),*)
        }
    )*};
}

mod checked;
mod descriptors;
mod device;
mod filter;
#[cfg(test)]
mod front_end;
#[cfg(test)]
mod hostile;
mod init;
mod log;
mod open_files;
mod queue;
mod role;
mod vring;
mod zero_message_open;

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use kiln_protocol::Access;

pub use self::{
    device::MAX_REQUEST_QUEUES,
    role::{serve_unconfined, virtiofs_main},
};
use super::{Caching, Daemon, Directory, Owner, Sandbox};
use crate::{exit::Failure, process::IdMap};

/// The first argument by which kiln's binary becomes the device.
pub const VIRTIOFS_ARGUMENT: &str = "__virtiofs";

/// The device as the server of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// kiln's own program, as users call it.
    pub program: PathBuf,
    /// What is executed: this very program, also where another one has taken its path since.
    pub executable: PathBuf,
    /// How many queues the guest's driver has for requests.
    pub request_queues: u32,
}

impl Daemon for Embedded {
    fn name(&self) -> &'static str {
        "the virtiofs device"
    }

    fn argv(&self, directory: &Directory, owner: Owner, sandbox: Sandbox) -> Result<Vec<OsString>, Failure> {
        let request =
            Request { directory: directory.clone(), owner, sandbox, request_queues: self.request_queues };
        let head = [self.program.clone().into(), VIRTIOFS_ARGUMENT.into()];
        Ok(head.into_iter().chain(request.arguments()).collect())
    }

    fn executable(&self) -> Option<&Path> {
        Some(&self.executable)
    }

    /// It makes the namespaces itself.
    fn ids(&self, _: &Directory, _: Owner) -> Result<Option<IdMap>> {
        Ok(None)
    }
}

/// What the device is told on its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    directory: Directory,
    owner: Owner,
    sandbox: Sandbox,
    request_queues: u32,
}

impl Request {
    fn arguments(&self) -> Vec<OsString> {
        let Self { directory, owner, sandbox, request_queues } = self;
        let Directory { path, access, caching, inside } = directory;
        let mut shared = OsString::from("--shared-dir=");
        shared.push(path);
        let cache = match caching {
            Caching::Shared => "auto",
            Caching::Names => "names",
            Caching::Alone => "always",
        };
        let mut arguments = vec![
            shared,
            format!("--sandbox={}", sandbox.name()).into(),
            format!("--cache={cache}").into(),
            format!("--request-queues={request_queues}").into(),
            format!("--outside={}:{}", owner.uid, owner.gid).into(),
            format!("--inside={}:{}", inside.0, inside.1).into(),
        ];
        if *access == Access::ReadOnly {
            arguments.push("--readonly".into());
        }
        arguments
    }

    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let (mut path, mut sandbox, mut caching, mut queues) = (None, None, None, None);
        let (mut outside, mut inside, mut access) = (None, None, Access::ReadWrite);
        for argument in arguments {
            match split(&argument) {
                (Some("--shared-dir"), value) => path = Some(PathBuf::from(value)),
                (Some("--sandbox"), value) => {
                    let all = [Sandbox::Namespace, Sandbox::Chroot];
                    sandbox = all.into_iter().find(|sandbox| value == sandbox.name());
                }
                (Some("--cache"), value) => {
                    let all =
                        [("auto", Caching::Shared), ("names", Caching::Names), ("always", Caching::Alone)];
                    caching = all.into_iter().find_map(|(name, caching)| (value == name).then_some(caching));
                }
                (Some("--request-queues"), value) => queues = number(value),
                (Some("--outside"), value) => outside = ids(value),
                (Some("--inside"), value) => inside = ids(value),
                (Some("--readonly"), _) => access = Access::ReadOnly,
                _ => bail!("unknown option {}", argument.display()),
            }
        }
        let (uid, gid) = outside.context("--outside needs two ids")?;
        let request_queues = queues.filter(|queues| (1..=MAX_REQUEST_QUEUES).contains(queues));
        Ok(Self {
            directory: Directory {
                path: path
                    .filter(|path| path.is_absolute())
                    .context("--shared-dir needs an absolute path")?,
                access,
                caching: caching.context("--cache needs auto, names or always")?,
                inside: inside.context("--inside needs two ids")?,
            },
            owner: Owner { uid, gid },
            sandbox: sandbox.context("--sandbox needs namespace or chroot")?,
            request_queues: request_queues
                .with_context(|| format!("--request-queues needs a number from 1 to {MAX_REQUEST_QUEUES}"))?,
        })
    }
}

/// An option and its value.
fn split(argument: &OsStr) -> (Option<&str>, &OsStr) {
    use std::os::unix::ffi::OsStrExt;
    let bytes = argument.as_bytes();
    let end = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
    let value = bytes.get(end + 1..).unwrap_or_default();
    (std::str::from_utf8(&bytes[..end]).ok(), OsStr::from_bytes(value))
}

fn number(value: &OsStr) -> Option<u32> {
    value.to_str()?.parse().ok()
}

fn ids(value: &OsStr) -> Option<(u32, u32)> {
    let (uid, gid) = value.to_str()?.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, access: Access, caching: Caching, sandbox: Sandbox) -> Request {
        let directory = Directory { path: path.into(), access, caching, inside: (1000, 100) };
        Request { directory, owner: Owner { uid: 1234, gid: 5 }, sandbox, request_queues: 2 }
    }

    #[test]
    fn the_command_line_is_read_as_it_was_written() {
        for request in [
            request("/a b,c=ä", Access::ReadOnly, Caching::Shared, Sandbox::Namespace),
            request("/--readonly", Access::ReadWrite, Caching::Alone, Sandbox::Chroot),
            request("/s", Access::ReadOnly, Caching::Names, Sandbox::Namespace),
        ] {
            assert_eq!(Request::parse(request.arguments()).expect("valid"), request);
        }
    }

    #[test]
    fn the_command_line_says_all() {
        let Request { directory, owner, sandbox, request_queues } =
            request("/c", Access::ReadOnly, Caching::Alone, Sandbox::Namespace);
        let (program, executable) = ("/usr/bin/kiln".into(), "/proc/self/exe".into());
        let embedded = Embedded { program, executable, request_queues };
        let argv = embedded.argv(&directory, owner, sandbox).expect("it can serve this");
        assert_eq!(
            argv.join(OsStr::new(" ")),
            "/usr/bin/kiln __virtiofs --shared-dir=/c --sandbox=namespace --cache=always --request-queues=2 \
             --outside=1234:5 --inside=1000:100 --readonly"
        );
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        let good = request("/c", Access::ReadWrite, Caching::Alone, Sandbox::Namespace).arguments();
        for (at, wrong, why) in [
            (0, "--shared-dir=relative", "--shared-dir needs an absolute path"),
            (1, "--sandbox=none", "--sandbox needs namespace or chroot"),
            (2, "--cache=never", "--cache needs auto, names or always"),
            (3, "--request-queues=0", "--request-queues needs a number from 1 to 16"),
            (3, "--request-queues=17", "--request-queues needs a number from 1 to 16"),
            (4, "--outside=1", "--outside needs two ids"),
            (5, "--inside=1:x", "--inside needs two ids"),
            (5, "--verbose", "unknown option --verbose"),
        ] {
            let mut arguments = good.clone();
            arguments[at] = wrong.into();
            assert_eq!(Request::parse(arguments).expect_err("refused").to_string(), why);
        }
    }
}
