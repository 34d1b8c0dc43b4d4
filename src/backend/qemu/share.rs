//! Shares of a microVM: QEMU's switches, and the agent's mount. Pure.

use std::{ffi::OsString, path::Path};

use kiln_protocol::{Access, Mount, MountSource};

use super::{
    device::Device,
    line::{Line, escape, fd},
};
use crate::plan::{CacheMount, CacheShare, RequestQueues};

/// The largest message size of virtio's 9p transport. The guest's kernel reduces higher values to this.
const NINE_P_MSIZE: u32 = 512_000;

/// The switches of a directory that QEMU's 9p server shares.
pub(super) fn nine_p(line: &mut Line, id: &str, tag: &str, directory: &Path, access: Access) {
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

/// The mount of a 9p share.
pub(super) fn nine_p_mount(tag: &str, target: &str, access: Access) -> Mount {
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
        CacheShare::Virtiofs | CacheShare::Embedded => {
            line.opt("-chardev", format!("socket,id=cache,fd={}", fd::VIRTIOFS));
            let request_queues = request_queues.map(RequestQueues::count);
            line.device(Device::Virtiofs { chardev: "cache", tag, request_queues });
        }
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
