//! The vhost-user back end: a virtiofs device with a worker thread for each queue.
//!
//! Before it: [`super::role`], in its confinement. After it: [`super::queue`]. The guest's driver uses queue 0 for requests that must
//! not wait (FORGET), the others for all else; a host call that takes long holds up its own queue only.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::{
        PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use log::{info, warn};
use vhost::vhost_user::{
    Error as VhostUserError, Listener,
    message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures},
};
use vhost_user_backend::{Error as DaemonError, VhostUserBackend, VhostUserDaemon, bitmap::BitmapMmapRegion};
use virtio_bindings::{
    virtio_config::VIRTIO_F_VERSION_1,
    virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC},
};
use virtiofsd::{filesystem::FileSystem, fuse::FsOptions, server::Server};
use vm_memory::{GuestAddressSpace, GuestMemory, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};
use vmm_sys_util::{
    epoll::EventSet,
    event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier},
};

use super::{
    queue::{self, QUEUE_SIZE},
    vring::{Memory, Vring},
};

/// The most request queues: a thread each.
pub const MAX_REQUEST_QUEUES: u32 = 16;

/// How the device ends: the front end has gone, or something is wrong.
type End = Result<()>;

/// What the threads share.
struct Device<F: FileSystem + Sync> {
    server: Server<F>,
    /// Flags of FUSE that the guest's kernel does not get.
    withheld: FsOptions,
    /// The guest's memory once it is checked. The queues have what the front end sent, which only the thread of the front end uses.
    memory: Memory,
    request_queues: u32,
    end: Sender<End>,
}

impl<F: FileSystem + Send + Sync + 'static> VhostUserBackend for Device<F> {
    type Bitmap = BitmapMmapRegion;
    type Vring = Vring;

    fn num_queues(&self) -> usize {
        self.request_queues as usize + 1
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE.into()
    }

    fn features(&self) -> u64 {
        let virtio = [VIRTIO_F_VERSION_1, VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX];
        virtio.into_iter().fold(VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits(), |all, bit| all | 1 << bit)
    }

    /// The tag and the number of queues are QEMU's properties, not this device's.
    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::RESET_DEVICE
    }

    fn reset_device(&self) {
        self.server.destroy();
    }

    /// The queues themselves know of it.
    fn set_event_idx(&self, _: bool) {}

    /// The workers get memory that has been checked, and keep what they have otherwise: an access behind the end of a region's file
    /// would be a SIGBUS.
    fn update_memory(&self, memory: Memory) -> io::Result<()> {
        let memory = memory.memory();
        if !memory.iter().all(has_memory) {
            return Err(io::Error::other("a region of memory is larger than its file"));
        }
        // A panic ends the process, so no lock is left by one.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).replace(GuestMemoryMmap::clone(&memory));
        Ok(())
    }

    /// A queue a thread.
    fn queues_per_thread(&self) -> Vec<u64> {
        (0..self.num_queues()).map(|queue| 1 << queue).collect()
    }

    /// For the end of a device whose process goes on: a test's.
    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::CLOEXEC | EventFlag::NONBLOCK).ok()
    }

    /// An error must not end the thread alone, for the guest would wait for ever: the device ends with it.
    fn handle_event(&self, event: u16, set: EventSet, vrings: &[Vring], thread: usize) -> io::Result<()> {
        let answered = match vrings.get(usize::from(event)) {
            Some(vring) => self.answer(vring, set),
            None => Err(anyhow!("there is no queue {event}")),
        };
        if let Err(error) = answered {
            // Best effort: a device that ends already needs no second reason.
            let _ = self.end.send(Err(error.context(format!("queue {thread}"))));
            return Err(io::ErrorKind::Other.into());
        }
        Ok(())
    }
}

/// Whether all of a region is in its file, which QEMU makes by memfd_create(2).
fn has_memory(region: &GuestRegionMmap<BitmapMmapRegion>) -> bool {
    let Some(place) = region.file_offset() else { return false };
    let end = place.start().checked_add(region.len());
    let metadata = place.file().metadata();
    metadata.is_ok_and(|file| file.is_file() && end.is_some_and(|end| end <= file.len()))
}

impl<F: FileSystem + Sync> Device<F> {
    fn answer(&self, vring: &Vring, set: EventSet) -> Result<()> {
        if let Some(fault) = vring.take_fault() {
            return Err(fault).context("use a descriptor of the queue");
        }
        if set != EventSet::IN {
            bail!("use a descriptor of the queue: it has the event {set:?}");
        }
        queue::answer(vring, &self.memory, &self.server, self.withheld)
    }
}

/// Serves `fs` to the front end that has connected to `listener`, until it goes. The guest's kernel does not get the flags `withheld`.
pub(super) fn serve<F: FileSystem + Send + Sync + 'static>(
    fs: F,
    withheld: FsOptions,
    listener: OwnedFd,
    request_queues: u32,
) -> Result<()> {
    let (end, ended) = channel();
    let mut listener = Listener::from(UnixListener::from(listener));
    let none = || Memory::new(GuestMemoryMmap::new());
    let device =
        Device { server: Server::new(fs), withheld, memory: none(), request_queues, end: end.clone() };
    let mut daemon = VhostUserDaemon::new("front-end".into(), std::sync::Arc::new(device), none())
        .map_err(|error| anyhow!("start the workers: {error}"))?;
    daemon.start(&mut listener).map_err(|error| anyhow!("accept the front end: {error}"))?;
    drop(listener);
    let watch = move || {
        let result = daemon.wait();
        // Best effort: nothing receives it when the device ends already.
        let _ = end.send(front_end_ended(result));
    };
    thread::Builder::new().name("watch".into()).spawn(watch).context("start a thread")?;
    first(&ended)
}

fn first(ended: &Receiver<End>) -> End {
    match ended.recv() {
        Ok(end) => end,
        Err(_) => bail!("all threads have ended"),
    }
}

/// QEMU closes the connection when it ends; all else is a fault of the front end.
fn front_end_ended(result: Result<(), DaemonError>) -> End {
    match result {
        Ok(()) | Err(DaemonError::HandleRequest(VhostUserError::Disconnected)) => {
            info!("the front end has closed the connection");
            Ok(())
        }
        Err(error) => {
            warn!("{error}");
            bail!("the front end sent what cannot be followed: {error}")
        }
    }
}

#[cfg(test)]
mod tests;
