//! The command line of a virtiofsd, as data.
//!
//! Before it: [`super::Directory`] and the daemon that was found. After it: [`super::spawned`].

use std::ffi::{OsStr, OsString};

use kiln_protocol::Access;

use super::{
    Caching, Directory, Owner, Sandbox,
    server::LISTENER,
    virtiofsd::{DaemonKind, Virtiofsd},
};
use crate::exit::Failure;

/// The number of ids: 2^32 - 1 is not an id, since it means "do not change" for chown(2).
const ALL_IDS: u32 = u32::MAX;

/// The arguments after the program's name.
///
/// # Errors
/// When the daemon cannot serve read-only.
pub(super) fn arguments(
    daemon: &Virtiofsd,
    directory: &Directory,
    owner: Owner,
    sandbox: Sandbox,
) -> Result<Vec<OsString>, Failure> {
    match daemon.kind {
        DaemonKind::Rust { .. } => Ok(rust(daemon.kind, directory, owner, sandbox)),
        DaemonKind::C if directory.access == Access::ReadOnly => Err(Failure::host(
            format!(
                "{}, QEMU's old C daemon, cannot serve {} read-only",
                daemon.path.display(),
                directory.path.display()
            ),
            "Install the Rust virtiofsd (cargo install virtiofsd), or share it by 9p.",
        )),
        DaemonKind::C => Ok(c(directory, sandbox)),
    }
}

fn rust(
    kind: DaemonKind,
    Directory { path, access, caching, inside }: &Directory,
    owner: Owner,
    sandbox: Sandbox,
) -> Vec<OsString> {
    let mut arguments = vec![
        // kiln has bound and connected the socket: the daemon need not wait.
        format!("--fd={LISTENER}").into(),
        opt("--shared-dir=", path.as_os_str()),
        format!("--sandbox={}", sandbox.name()).into(),
        // More threads are faster only with deep queues, which builds do not have.
        "--thread-pool-size=0".into(),
        // Extended attributes stay off: a guest must not set capabilities on files of the host.
    ];
    match caching {
        // Other processes on the host and other guests may write to the directory.
        Caching::Shared => arguments.push("--cache=auto".into()),
        // It has one time limit for names and attributes.
        Caching::Names => arguments.push("--cache=always".into()),
        Caching::Alone => arguments.extend(["--cache=always".into(), "--writeback".into()]),
    }
    if owner.uid != 0 || *caching == Caching::Names {
        // File handles need CAP_DAC_READ_SEARCH; an attempt costs system calls for each file. The handle of a file that another
        // one has replaced is stale.
        arguments.push("--inode-file-handles=never".into());
    }
    let ids = [("uid", owner.uid, inside.0), ("gid", owner.gid, inside.1)];
    if kind.translates_ids() {
        for (what, id, inside) in ids {
            arguments.push(format!("--translate-{what}=squash-guest:0:{id}:{ALL_IDS}").into());
            arguments.push(format!("--translate-{what}=squash-host:0:{inside}:{ALL_IDS}").into());
        }
    } else if owner.uid != 0 && sandbox == Sandbox::Namespace {
        // Before 1.13 the daemon's own user namespace maps the one user.
        for (what, id, inside) in ids {
            arguments.push(format!("--{what}-map=:{inside}:{id}:1:").into());
        }
    }
    if *access == Access::ReadOnly {
        arguments.push("--readonly".into());
    }
    arguments
}

fn c(Directory { path, access: _, caching, inside: _ }: &Directory, sandbox: Sandbox) -> Vec<OsString> {
    let mut arguments = vec![
        format!("--fd={LISTENER}").into(),
        "-f".into(),
        "-o".into(),
        opt("source=", &escaped(path.as_os_str())),
        "-o".into(),
        format!("sandbox={}", sandbox.name()).into(),
        "-o".into(),
        "no_xattr".into(),
    ];
    let policy: &[&str] = match caching {
        Caching::Shared => &["cache=auto"],
        Caching::Names => &["cache=always"],
        Caching::Alone => &["cache=always", "writeback"],
    };
    arguments.extend(policy.iter().flat_map(|option| ["-o".into(), option.into()]));
    arguments
}

fn opt(name: &str, value: &OsStr) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// Escapes commas and backslashes for libfuse's `-o`.
fn escaped(value: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for &byte in value.as_bytes() {
        if matches!(byte, b',' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(byte);
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Owner = Owner { uid: 0, gid: 0 };
    const USER: Owner = Owner { uid: 1234, gid: 100 };
    const NEW: DaemonKind = DaemonKind::Rust { version: (1, 14, 0) };
    const OLD: DaemonKind = DaemonKind::Rust { version: (1, 10, 1) };

    fn lines(
        kind: DaemonKind,
        path: &str,
        access: Access,
        caching: Caching,
        inside: u32,
        owner: Owner,
    ) -> String {
        let daemon = Virtiofsd { path: "/usr/libexec/virtiofsd".into(), kind };
        let directory = Directory { path: path.into(), access, caching, inside: (inside, inside) };
        let arguments = arguments(&daemon, &directory, owner, Sandbox::Namespace).unwrap();
        arguments.into_iter().map(|argument| argument.into_string().unwrap() + "\n").collect()
    }

    #[test]
    fn the_rust_daemon_translates_owners_in_both_directions() {
        assert_eq!(
            lines(NEW, "/a b,c/ä", Access::ReadOnly, Caching::Names, 1000, USER),
            "--fd=3\n--shared-dir=/a b,c/ä\n--sandbox=namespace\n--thread-pool-size=0\n--cache=always\n\
             --inode-file-handles=never\n--translate-uid=squash-guest:0:1234:4294967295\n\
             --translate-uid=squash-host:0:1000:4294967295\n--translate-gid=squash-guest:0:100:4294967295\n\
             --translate-gid=squash-host:0:1000:4294967295\n--readonly\n"
        );
        assert_eq!(
            lines(NEW, "/c", Access::ReadWrite, Caching::Alone, 0, ROOT),
            "--fd=3\n--shared-dir=/c\n--sandbox=namespace\n--thread-pool-size=0\n--cache=always\n--writeback\n\
             --translate-uid=squash-guest:0:0:4294967295\n--translate-uid=squash-host:0:0:4294967295\n\
             --translate-gid=squash-guest:0:0:4294967295\n--translate-gid=squash-host:0:0:4294967295\n"
        );
    }

    #[test]
    fn an_older_rust_daemon_maps_one_user() {
        assert_eq!(
            lines(OLD, "/c", Access::ReadWrite, Caching::Shared, 1000, USER),
            "--fd=3\n--shared-dir=/c\n--sandbox=namespace\n--thread-pool-size=0\n--cache=auto\n\
             --inode-file-handles=never\n--uid-map=:1000:1234:1:\n--gid-map=:1000:100:1:\n"
        );
    }

    #[test]
    fn the_c_daemon_escapes_commas_and_cannot_serve_read_only() {
        assert_eq!(
            lines(DaemonKind::C, "/a,b\\c", Access::ReadWrite, Caching::Shared, 1000, ROOT),
            "--fd=3\n-f\n-o\nsource=/a\\,b\\\\c\n-o\nsandbox=namespace\n-o\nno_xattr\n-o\ncache=auto\n"
        );
        assert!(
            lines(DaemonKind::C, "/c", Access::ReadWrite, Caching::Alone, 0, ROOT)
                .ends_with("-o\ncache=always\n-o\nwriteback\n")
        );
        let daemon = Virtiofsd { path: "/v".into(), kind: DaemonKind::C };
        let (access, caching) = (Access::ReadOnly, Caching::Shared);
        let directory = Directory { path: "/c".into(), access, caching, inside: (0, 0) };
        assert!(
            arguments(&daemon, &directory, ROOT, Sandbox::Namespace).unwrap_err().what.contains("read-only")
        );
    }
}
