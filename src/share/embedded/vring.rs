//! A queue with its descriptors: those by which the guest tells of requests, and by which it is told of answers.
//!
//! The front end chooses the descriptors. A read or write of one never waits, and one that fails is kept for the worker, which ends
//! the device with it: `vhost-user-backend` alone would end the worker, and the guest would wait for that queue for ever.

use std::{
    fs::File,
    io::{Error, ErrorKind, Result},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use vhost_user_backend::{VringMutex, VringStateGuard, VringStateMutGuard, VringT, bitmap::BitmapMmapRegion};
use virtio_queue::Error as QueueError;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

/// The guest's memory, which the front end may replace.
pub(super) type Memory = GuestMemoryAtomic<GuestMemoryMmap<BitmapMmapRegion>>;

/// A queue of the device.
#[derive(Clone)]
pub(super) struct Vring {
    queue: VringMutex<Memory>,
    fault: Arc<Mutex<Option<Error>>>,
}

impl Vring {
    /// Why a descriptor could not be used, if one could not; once.
    pub(super) fn take_fault(&self) -> Option<Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The descriptor, no operation on which waits. It stays as it is if it has no such mode: a later operation fails then.
    fn without_waiting(&self, file: Option<File>) -> Option<File> {
        let set = |file: &File| fcntl_setfl(file, fcntl_getfl(file)? | OFlags::NONBLOCK);
        if let Some(Err(error)) = file.as_ref().map(set) {
            self.keep(error.into());
        }
        file
    }

    fn keep(&self, error: Error) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

impl<'a> VringStateGuard<'a, Memory> for Vring {
    type G = <VringMutex<Memory> as VringStateGuard<'a, Memory>>::G;
}

impl<'a> VringStateMutGuard<'a, Memory> for Vring {
    type G = <VringMutex<Memory> as VringStateMutGuard<'a, Memory>>::G;
}

/// Methods that are those of the queue.
macro_rules! forward {
    ($(fn $method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $method(&self, $($argument: $type),*) -> $result {
            self.queue.$method($($argument),*)
        }
    )*};
}

impl VringT<Memory> for Vring {
    fn new(memory: Memory, max_queue_size: u16) -> std::result::Result<Self, QueueError> {
        Ok(Self { queue: VringMutex::new(memory, max_queue_size)?, fault: Arc::default() })
    }

    fn get_ref(&self) -> <Self as VringStateGuard<'_, Memory>>::G {
        self.queue.get_ref()
    }

    fn get_mut(&self) -> <Self as VringStateMutGuard<'_, Memory>>::G {
        self.queue.get_mut()
    }

    fn set_kick(&self, file: Option<File>) {
        self.queue.set_kick(self.without_waiting(file));
    }

    fn set_call(&self, file: Option<File>) {
        self.queue.set_call(self.without_waiting(file));
    }

    /// Whether the queue is to be looked at. A failure is no error here, so that the worker gets as far as [`Vring::take_fault`].
    fn read_kick(&self) -> Result<bool> {
        match self.queue.read_kick() {
            // Another reader was first. Whether there are requests is in the queue itself.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(self.queue.get_ref().is_enabled()),
            Err(error) => {
                self.keep(error);
                Ok(true)
            }
            enabled => enabled,
        }
    }

    forward! {
        fn add_used(index: u16, length: u32) -> std::result::Result<(), QueueError>;
        fn signal_used_queue() -> Result<()>;
        fn enable_notification() -> std::result::Result<bool, QueueError>;
        fn disable_notification() -> std::result::Result<(), QueueError>;
        fn needs_notification() -> std::result::Result<bool, QueueError>;
        fn set_enabled(enabled: bool) -> ();
        fn set_queue_info(descriptors: u64, available: u64, used: u64) -> std::result::Result<(), QueueError>;
        fn queue_next_avail() -> u16;
        fn set_queue_next_avail(base: u16) -> ();
        fn set_queue_next_used(index: u16) -> ();
        fn queue_used_idx() -> std::result::Result<u16, QueueError>;
        fn set_queue_size(size: u16) -> ();
        fn set_queue_event_idx(enabled: bool) -> ();
        fn set_queue_ready(ready: bool) -> ();
        fn set_err(file: Option<File>) -> ();
    }
}
