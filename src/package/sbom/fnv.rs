//! FNV-1a with 128 bits (draft-eastlake-fnv): a short name of a text, not a protection of it.

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// The hash of some bytes.
pub(super) fn fnv1a_128(bytes: &[u8]) -> u128 {
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_other_implementations() {
        // The namespace of melange's document for a package testix 1.2.3-r4.
        let text = b"apk-testix-1.2.3-r4";
        assert_eq!(format!("{:032x}", fnv1a_128(text)), "33ba8fe15b8ab5119d72a23184b315c1");
        assert_eq!(fnv1a_128(b""), OFFSET);
    }
}
