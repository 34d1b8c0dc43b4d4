//! Any bytes as the archive of `kiln cache import`, packed or as they are: all of it is committed, or nothing, and nothing
//! elsewhere.
#![no_main]

use kiln::cache::import;
use kiln_fuzz::{Cache, repaired};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static CACHE: Cache = Cache::default();
}

fuzz_target!(|archive: &[u8]| {
    let packed = zstd::encode_all(&repaired(archive)[..], 1).expect("memory is written to");
    for archive in [archive, &packed] {
        CACHE.with(|cache| cache.take(|lease, limit| import(lease, archive, limit)));
    }
});
