//! Any bytes as the stream of an overlay's upper directory: all of it is committed, or nothing, and nothing elsewhere.
#![no_main]

use kiln::cache::stage;
use kiln_fuzz::{Cache, repaired};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static CACHE: Cache = Cache::default();
}

fuzz_target!(|stream: &[u8]| {
    CACHE.with(|cache| cache.take(|lease, limit| stage(lease, &repaired(stream)[..], limit)));
});
