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
mod request;
mod root;

use std::{
    ffi::OsString,
    fs::OpenOptions,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use nix::libc;

use self::request::Request;
pub use self::request::{JAIL_ARGUMENT, JAIL_DIRECTORY, Jail, JailNetwork};
pub(super) use self::request::{JAIL_PATH, PROGRAM};

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
