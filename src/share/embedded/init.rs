//! FUSE_INIT: flags that the guest's kernel does not get.
//!
//! The server of the `virtiofsd` crate decides the answer, and always accepts FUSE_ATOMIC_O_TRUNC: open(2) with O_TRUNC then leaves it
//! to FUSE_OPEN to truncate the file, and without that message ([`super::zero_message_open`]) nothing would.

use std::mem::{offset_of, size_of};

use anyhow::{Context, Result};
use vhost_user_backend::bitmap::BitmapMmapRegion;
use virtio_queue::DescriptorChain;
use virtiofsd::{
    descriptor_utils::Reader,
    fuse::{FsOptions, InHeader, InitOut, OutHeader},
};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryLoadGuard, GuestMemoryMmap};

/// FUSE_INIT of `linux/fuse.h`.
const INIT: u32 = 26;

/// Where an answer to FUSE_INIT has the lower half of its flags.
const FLAGS: usize = size_of::<OutHeader>() + offset_of!(InitOut, flags);

/// The guest's memory for the time of a request.
type Guard = GuestMemoryLoadGuard<GuestMemoryMmap<BitmapMmapRegion>>;

/// Whether a request is FUSE_INIT.
pub(super) fn is_init(memory: &Guard, request: DescriptorChain<Guard>) -> Result<bool> {
    let mut reader = Reader::new(memory, request).context("read a request")?;
    Ok(reader.read_obj::<InHeader>().is_ok_and(|header| header.opcode == INIT))
}

/// Takes `flags` out of the answer to a request that is FUSE_INIT. Only the lower half of FUSE's flags is looked at.
pub(super) fn withhold(memory: &Guard, request: DescriptorChain<Guard>, flags: FsOptions) -> Result<()> {
    let lower = flags.bits().to_le_bytes().into_iter().take(size_of::<u32>());
    for (at, withheld) in (FLAGS..).zip(lower) {
        // An answer that is an error has no flags.
        let Some(address) = answer_byte(request.clone(), at) else { return Ok(()) };
        let byte: u8 = memory.read_obj(address).context("read the answer to FUSE_INIT")?;
        memory.write_obj(byte & !withheld, address).context("write the answer to FUSE_INIT")?;
    }
    Ok(())
}

/// Where in memory a byte of the answer to a request is.
fn answer_byte(request: DescriptorChain<Guard>, mut at: usize) -> Option<GuestAddress> {
    for part in request.writable() {
        let length = usize::try_from(part.len()).ok()?;
        if at < length {
            return part.addr().checked_add(at.try_into().ok()?);
        }
        at -= length;
    }
    None
}
