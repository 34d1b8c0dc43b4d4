//! The life of the device's process: its command line, its limits, its confinement, and the file system that it serves.

use std::{ffi::OsString, fs::File, io, os::fd::OwnedFd, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use kiln_protocol::Access;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC, fstatfs},
};
use rustix::thread::CapabilitySet;
use virtiofsd::{
    filesystem::FileSystem,
    fuse::FsOptions,
    passthrough::{CachePolicy, Config, PassthroughFs, read_only::PassthroughFsRo},
    soft_idmap::cmdline::IdMap,
};

use super::{Request, checked::Checked, device, filter, log, zero_message_open::ZeroMessageOpen};
use crate::{
    process::{Boundary, Confinement, inherited, run_confined},
    share::{Caching, Directory, Owner, Sandbox, server::LISTENER},
};

/// What of capabilities(7) the passthrough file system needs so that root of the guest can do with the owner's files what root can:
/// change and read those whose mode forbids it. No more: there are no other owners, devices or labels to give.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID);

/// Descriptors that are not the guest's: memory regions, of which a front end may send some hundred, queues and threads.
const OWN_DESCRIPTORS: u64 = 640;

/// The fewest descriptors with which a build can work.
const FEWEST_DESCRIPTORS: u64 = 256;

/// How long the guest keeps names and attributes: a second where others change them, a day where it is alone, or keeps what it knows.
const SHARED_TIMEOUT: Duration = Duration::from_secs(1);
const ALONE_TIMEOUT: Duration = Duration::from_secs(86_400);

/// All ids: 2^32 - 1 is not a user, it means "leave it" to chown(2).
const ALL_IDS: u32 = u32::MAX;

/// What `kiln __virtiofs …` does: serves the directory until QEMU closes the connection.
pub fn virtiofs_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    log::install();
    match Request::parse(arguments).and_then(|request| run(&request)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(request: &Request) -> Result<()> {
    let Request { directory, owner, sandbox, request_queues } = request;
    let listener = inherited(LISTENER)?;
    let guest_descriptors = raise_descriptor_limit()?;
    let filters = filter::filters()?;
    let boundary = match sandbox {
        Sandbox::Namespace => Boundary::Namespaces,
        Sandbox::Chroot => Boundary::Root,
    };
    let confinement = Confinement {
        root: &directory.path,
        read_only: directory.access == Access::ReadOnly,
        boundary,
        capabilities: CAPABILITIES,
        filters: &filters,
    };
    run_confined(confinement, |descriptors| {
        let config = config(directory, *owner, descriptors, guest_descriptors);
        serve(config, directory, listener, *request_queues)
    })
}

fn serve(config: Config, directory: &Directory, listener: OwnedFd, request_queues: u32) -> Result<()> {
    let without_open =
        directory.caching != Caching::Shared && closes_without_error(Path::new(&config.root_dir))?;
    let limit = config.guest_fd_limit;
    let context = |error: io::Error| anyhow::Error::from(error).context("open the directory");
    match directory.access {
        Access::ReadWrite => {
            let fs = PassthroughFs::new(config).map_err(context)?;
            serve_checked(fs, without_open, limit, listener, request_queues)
        }
        Access::ReadOnly => {
            let fs = PassthroughFsRo::new(config).map_err(context)?;
            serve_checked(fs, without_open, limit, listener, request_queues)
        }
    }
}

fn serve_checked<F>(
    fs: F,
    without_open: bool,
    limit: u64,
    listener: OwnedFd,
    request_queues: u32,
) -> Result<()>
where
    F: FileSystem + Send + Sync + 'static,
{
    let (fs, withheld) = match without_open {
        true => (ZeroMessageOpen::new(fs, limit), FsOptions::ATOMIC_O_TRUNC),
        false => (ZeroMessageOpen::off(fs), FsOptions::empty()),
    };
    device::serve(Checked::new(fs, limit), withheld, listener, request_queues)
}

/// Whether the file system of a directory is one of this host, whose close(2) reports no error: others, like NFS, write when a file is
/// closed, and a guest that sends no FUSE_FLUSH would not know that there was no room. An overlay is left out, for what is open there
/// to be read is another file when it was written.
fn closes_without_error(directory: &Path) -> Result<bool> {
    let examined = File::open(directory).map(|directory| fstatfs(&directory));
    let file_system =
        examined.context("open the directory")?.context("examine its file system")?.filesystem_type();
    let local = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC];
    Ok(local.contains(&file_system))
}

/// Serves a directory to the front end that connects to `listener`, until it goes, without the confinement of
/// [`virtiofs_main`]: for `fuzz/`, where a part of the device that lets a guest out is found. The guest may cause `descriptors` descriptors.
///
/// # Errors
/// When the directory cannot be opened, and when a front end or a guest does what neither may do.
pub fn serve_unconfined(
    directory: &Directory,
    owner: Owner,
    listener: OwnedFd,
    request_queues: u32,
    descriptors: u64,
) -> Result<()> {
    let root_dir = directory.path.to_str().context("the directory's path is no text")?.to_owned();
    let own = File::open("/proc/self/fd").context("open /proc/self/fd")?;
    let config = Config { root_dir, ..config(directory, owner, own, descriptors) };
    serve(config, directory, listener, request_queues)
}

/// Every file is the owner's outside and the step's user's inside, whatever ids the guest names. Extended attributes stay off: a
/// guest must not set capabilities on files of the host. So do ACLs: with them the file system would change the umask of the
/// process, which all workers share.
fn config(directory: &Directory, owner: Owner, descriptors: File, guest_descriptors: u64) -> Config {
    let Directory { path: _, access, caching, inside: (uid, gid) } = *directory;
    let (cache_policy, entry_timeout, attr_timeout, writeback) = match caching {
        Caching::Shared => (CachePolicy::Auto, SHARED_TIMEOUT, SHARED_TIMEOUT, false),
        Caching::Names => (CachePolicy::Always, ALONE_TIMEOUT, SHARED_TIMEOUT, false),
        Caching::Alone => (CachePolicy::Always, ALONE_TIMEOUT, ALONE_TIMEOUT, true),
    };
    Config {
        entry_timeout,
        attr_timeout,
        cache_policy,
        writeback,
        proc_sfd_rawfd: Some(descriptors),
        // An overlay does not enter a submount that is announced (EREMOTE), and one lies above most directories that are read-only.
        announce_submounts: access == Access::ReadWrite,
        uid_map: Some(translation(uid, owner.uid)),
        gid_map: Some(translation(gid, owner.gid)),
        guest_fd_limit: guest_descriptors,
        ..Config::default()
    }
}

fn translation(inside: u32, outside: u32) -> Vec<IdMap> {
    vec![
        IdMap::SquashGuest { from_guest: 0, to_host: outside, count: ALL_IDS },
        IdMap::SquashHost { from_host: 0, to_guest: inside, count: ALL_IDS },
    ]
}

/// Raises the limit of open files as far as this user may; returns how many of them are for the guest: one for each file that it
/// knows, and one for each that it has open.
fn raise_descriptor_limit() -> Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("read the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("raise the limit of open files")?;
    most.checked_sub(OWN_DESCRIPTORS).filter(|left| *left >= FEWEST_DESCRIPTORS).with_context(|| {
        format!(
            "{most} open files are too few: at least {} are needed (ulimit -Hn)",
            OWN_DESCRIPTORS + FEWEST_DESCRIPTORS
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_policy_is_that_of_the_lease_and_all_ids_are_translated() {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        for (caching, access, names, attributes, writeback) in [
            (Caching::Shared, Access::ReadWrite, second, second, false),
            (Caching::Names, Access::ReadOnly, day, second, false),
            (Caching::Alone, Access::ReadWrite, day, day, true),
        ] {
            let path = "/c".into();
            let directory = Directory { path, access, caching, inside: (1000, 100) };
            let descriptors = File::open("/proc/self/fd").expect("it is there");
            let config = config(&directory, Owner { uid: 1234, gid: 5 }, descriptors, 7);
            assert_eq!(
                (config.entry_timeout, config.attr_timeout, config.writeback),
                (names, attributes, writeback)
            );
            assert_eq!(config.announce_submounts, access == Access::ReadWrite);
            assert!(!config.xattr && config.guest_fd_limit == 7);
            for (map, outside, inside) in [(config.uid_map, 1234, 1000), (config.gid_map, 5, 100)] {
                let map = map.expect("there is one");
                assert!(
                    matches!(
                        map[..],
                        [
                            IdMap::SquashGuest { from_guest: 0, to_host, count: u32::MAX },
                            IdMap::SquashHost { from_host: 0, to_guest, count: u32::MAX },
                        ] if to_host == outside && to_guest == inside
                    ),
                    "{map:?}"
                );
            }
        }
    }
}
