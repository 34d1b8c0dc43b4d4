//! Any bytes as a tar: entries come out of it that are within the limits, or it is refused.
#![no_main]

use kiln::package::{Limits, Reader};
use kiln_fuzz::repaired;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    for stream in [stream, &repaired(stream)] {
        let limits = Limits { entries: 1000, bytes: 1 << 20, header_bytes: 1 << 16 };
        let mut reader = Reader::new(stream, limits);
        let (mut entries, mut bytes, mut piece) = (0, 0, [0; 4096]);
        while let Ok(Some(_)) = reader.next_entry() {
            entries += 1;
            while let Ok(count) = reader.read_body(&mut piece) {
                bytes += count;
                if count == 0 {
                    break;
                }
            }
        }
        assert!(entries <= 1000 && bytes <= 1 << 20, "{entries} entries, {bytes} bytes");
    }
});
