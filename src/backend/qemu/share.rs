//! Shares of a microVM: QEMU's switches, and the agent's mount. Pure.

use std::{ffi::OsString, path::Path};

use kiln_protocol::{Access, Mount, MountSource};

use super::{
    device::Device,
    line::{Line, escape, fd},
};
use crate::plan::{CacheMount, CacheShare, RequestQueues, SourceShare};

/// The largest message size of virtio's 9p transport. The guest's kernel reduces higher values to this.
const NINE_P_MSIZE: u32 = 512_000;

/// The switches of a directory that QEMU's 9p server shares.
fn nine_p(line: &mut Line, id: &str, tag: &str, directory: &Path, access: Access) {
    let read_only = match access {
        Access::ReadOnly => "on",
        Access::ReadWrite => "off",
    };
    // With `none` modes and owners are those of the host's files. `mapped` would store them in xattrs, which other backends do not read.
    let mut fsdev = OsString::from(format!(
        "local,id={id},security_model=none,multidevs=remap,readonly={read_only},path="
    ));
    fsdev.push(escape(directory));
    line.opt("-fsdev", fsdev);
    line.device(Device::NineP { fsdev: id, tag });
}

/// The switches of a directory that a server on this descriptor shares.
fn virtiofs(line: &mut Line, id: &str, tag: &str, server: i32, request_queues: Option<RequestQueues>) {
    line.opt("-chardev", format!("socket,id={id},fd={server}"));
    let request_queues = request_queues.map(RequestQueues::count);
    line.device(Device::Virtiofs { chardev: id, tag, request_queues });
}

/// The mount of a 9p share.
fn nine_p_mount(tag: &str, target: &str, access: Access) -> Mount {
    // A read-only tree may be cached without revalidation. Other builds may change a writable one, so only mapped files are
    // cached (`loose` has returned zeros there).
    let cache = match access {
        Access::ReadOnly => "loose",
        Access::ReadWrite => "mmap",
    };
    let options = format!("trans=virtio,version=9p2000.L,msize={NINE_P_MSIZE},cache={cache}");
    mount("9p", tag, target, options, access)
}

/// The switches of the cache.
pub(super) fn cache(line: &mut Line, cache: &CacheMount, tag: &str, request_queues: Option<RequestQueues>) {
    match cache.share {
        CacheShare::NineP => nine_p(line, "cache", tag, &cache.directory, cache.access),
        CacheShare::Bind => {}
        // virtiofsd has one queue, whatever kiln's own device has for the source.
        CacheShare::Virtiofs => virtiofs(line, "cache", tag, fd::CACHE, None),
        CacheShare::Embedded => virtiofs(line, "cache", tag, fd::CACHE, request_queues),
    }
}

/// The switches of the source.
pub(super) fn source(
    line: &mut Line,
    share: SourceShare,
    directory: &Path,
    tag: &str,
    request_queues: Option<RequestQueues>,
) {
    match share {
        SourceShare::NineP => nine_p(line, "source", tag, directory, Access::ReadOnly),
        SourceShare::Virtiofs => virtiofs(line, "source", tag, fd::SOURCE, request_queues),
    }
}

/// The mount of the source.
pub(super) fn source_mount(share: SourceShare, tag: &str, target: &str) -> Mount {
    match share {
        SourceShare::NineP => nine_p_mount(tag, target, Access::ReadOnly),
        SourceShare::Virtiofs => mount("virtiofs", tag, target, String::new(), Access::ReadOnly),
    }
}

/// The mount of the cache.
pub(super) fn cache_mount(share: CacheShare, tag: &str, target: &str, access: Access) -> Mount {
    match share {
        CacheShare::NineP => nine_p_mount(tag, target, access),
        // The plan of a microVM has no bind.
        CacheShare::Virtiofs | CacheShare::Embedded | CacheShare::Bind => {
            mount("virtiofs", tag, target, String::new(), access)
        }
    }
}

fn mount(fstype: &str, tag: &str, target: &str, options: String, access: Access) -> Mount {
    Mount::Filesystem {
        source: MountSource::Share(tag.into()),
        target: target.into(),
        fstype: fstype.into(),
        options,
        access,
    }
}
