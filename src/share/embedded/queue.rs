//! A queue of requests: takes each that the guest has made available, has it answered, and returns it.
//!
//! The guest owns the memory in which queue and requests lie, and may have written anything there. A ring or a request that cannot be
//! understood is an error, with which the device ends: the guest's driver never makes one.

use std::io;

use anyhow::{Context, Result, bail};
use vhost::vhost_user::Backend;
use vhost_user_backend::{VringState, VringT};
use virtio_queue::{QueueOwnedT, QueueT};
use virtiofsd::{
    descriptor_utils::{Reader, Writer},
    filesystem::FileSystem,
    fuse::FsOptions,
    server::Server,
};
use vm_memory::GuestAddressSpace;

use super::{
    init,
    vring::{Memory, Vring},
};

/// The most requests that fit a queue; QEMU's property `queue-size` says so, too.
pub(super) const QUEUE_SIZE: u16 = 1024;

/// Answers all requests that are available. The queue is locked meanwhile: it has one worker, and the front end changes it only
/// between requests. The guest's kernel does not get the flags `withheld`.
pub(super) fn answer<F: FileSystem + Sync>(
    vring: &Vring,
    memory: &Memory,
    server: &Server<F>,
    withheld: FsOptions,
) -> Result<()> {
    let mut state = vring.get_mut();
    let mut more = false;
    loop {
        state.get_queue_mut().disable_notification(&*memory.memory()).context("switch notifications off")?;
        let mut answered = false;
        while answer_next(&mut state, memory, server, withheld)? {
            answered = true;
        }
        // The iterator of the available ring ends, without an error, where the ring cannot be read.
        if more && !answered {
            bail!("read the available ring: a request that it has is not in memory");
        }
        // A request that came after the last look and before notifications were on again has no notification.
        more = state
            .get_queue_mut()
            .enable_notification(&*memory.memory())
            .context("switch notifications on")?;
        if !more {
            return Ok(());
        }
    }
}

/// Answers one request; whether there was one.
fn answer_next<F: FileSystem + Sync>(
    state: &mut VringState<Memory>,
    memory: &Memory,
    server: &Server<F>,
    withheld: FsOptions,
) -> Result<bool> {
    let memory = memory.memory();
    let queue = state.get_queue_mut();
    let Some(chain) = queue.iter(memory.clone()).context("read the available ring")?.next() else {
        return Ok(false);
    };
    let head = chain.head_index();
    let reader = Reader::new(&memory, chain.clone()).context("read a request")?;
    let writer = Writer::new(&memory, chain.clone()).context("find the place of an answer")?;
    let is_init = !withheld.is_empty() && init::is_init(&memory, chain.clone())?;
    let length = server.handle_message(reader, writer, None::<&mut Backend>).context("answer a request")?;
    if is_init {
        init::withhold(&memory, chain, withheld)?;
    }
    let length = u32::try_from(length).context("an answer is longer than its buffers")?;
    let queue = state.get_queue_mut();
    queue.add_used(&*memory, head, length).context("return a request")?;
    if queue.needs_notification(&*memory).context("read the guest's wish for notifications")? {
        notify(state).context("notify the guest")?;
    }
    Ok(true)
}

fn notify(state: &VringState<Memory>) -> io::Result<()> {
    match state.signal_used_queue() {
        // So many notifications wait already that their counter is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        signalled => signalled,
    }
}

#[cfg(test)]
mod tests;
