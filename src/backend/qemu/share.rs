//! Shares of a microVM: QEMU's switches, and the agent's mount. Pure.

use std::{ffi::OsString, path::Path};

use kiln_protocol::{Access, Mount, MountSource};

use super::{
    device::{Bus, CACHE_SLOT, Device, SOURCE_SLOT},
    line::{Line, escape, fd},
};
use crate::plan::{CACHE_TAG, CacheMount, CacheShare, Machine, Plan, RequestQueues, SOURCE_TAG, SourceShare};

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

/// A directory that a server on a descriptor shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Virtiofs {
    id: &'static str,
    tag: &'static str,
    server: i32,
    request_queues: Option<u32>,
    slot: &'static str,
}

/// How a guest gets the devices of virtiofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    /// They are there from the start.
    AtStart,
    /// They are plugged in, since QEMU does not restore a guest that has one.
    Later,
}

impl Virtiofs {
    /// The share of the cache, if a server shares it.
    fn of_cache(cache: &CacheMount, request_queues: Option<RequestQueues>) -> Option<Self> {
        let request_queues = match cache.share {
            CacheShare::NineP | CacheShare::Bind => return None,
            // virtiofsd has one queue, whatever kiln's own device has for the source.
            CacheShare::Virtiofs => None,
            CacheShare::Embedded => request_queues.map(RequestQueues::count),
        };
        Some(Self { id: "cache", tag: CACHE_TAG, server: fd::CACHE, request_queues, slot: CACHE_SLOT })
    }

    /// The share of the source, if a server shares it.
    fn of_source(share: SourceShare, request_queues: Option<RequestQueues>) -> Option<Self> {
        let request_queues = request_queues.map(RequestQueues::count);
        match share {
            SourceShare::NineP => None,
            SourceShare::Virtiofs => Some(Self {
                id: "source",
                tag: SOURCE_TAG,
                server: fd::SOURCE,
                request_queues,
                slot: SOURCE_SLOT,
            }),
        }
    }

    fn device(self, bus: Bus) -> Device<'static> {
        let Self { id, tag, server: _, request_queues, slot: _ } = self;
        Device::Virtiofs { chardev: id, tag, request_queues, bus }
    }

    fn switches(self, line: &mut Line, attached: Attached) {
        line.opt("-chardev", format!("socket,id={},fd={}", self.id, self.server));
        match attached {
            Attached::AtStart => line.device(self.device(Bus::Mmio)),
            Attached::Later => {}
        }
    }
}

/// The devices that are plugged into a guest that was restored.
pub(super) fn plugged(plan: &Plan, machine: &Machine) -> Vec<Device<'static>> {
    let source = plan.source.as_ref().and(machine.source_share);
    let source = source.and_then(|share| Virtiofs::of_source(share, machine.request_queues));
    let cache = plan.cache.as_ref().and_then(|cache| Virtiofs::of_cache(cache, machine.request_queues));
    source.into_iter().chain(cache).map(|share| share.device(Bus::Slot(share.slot))).collect()
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

/// The switches of all shares.
pub(super) fn switches(line: &mut Line, plan: &Plan, machine: &Machine, attached: Attached) {
    if let (Some(directory), Some(share)) = (&plan.source, machine.source_share) {
        match Virtiofs::of_source(share, machine.request_queues) {
            Some(share) => share.switches(line, attached),
            None => nine_p(line, "source", SOURCE_TAG, directory, Access::ReadOnly),
        }
    }
    if let Some(cache) = &plan.cache {
        match (Virtiofs::of_cache(cache, machine.request_queues), cache.share) {
            (Some(share), _) => share.switches(line, attached),
            (None, CacheShare::NineP) => nine_p(line, "cache", CACHE_TAG, &cache.directory, cache.access),
            // The plan of a microVM has no bind.
            (None, CacheShare::Bind | CacheShare::Virtiofs | CacheShare::Embedded) => {}
        }
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
