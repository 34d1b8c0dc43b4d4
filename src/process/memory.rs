//! How the allocator gives memory back.
#![expect(unsafe_code, reason = "mallopt, which std, nix and rustix do not have")]
// UNSAFETY: see the block.

use nix::libc;

/// Blocks from this size are mapped, and unmapped when they are freed.
const MAPPED: libc::c_int = 128 << 10;

/// Has libc give large blocks back to the system as soon as they are freed: by default the GNU C library keeps those that are as large as
/// an earlier one (mallopt(3), `M_MMAP_THRESHOLD`), which was a third of kiln's memory while it packs files.
pub fn return_large_blocks() {
    // SAFETY: `mallopt` changes a number of the allocator; it takes the allocator's lock, and may be called at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}
