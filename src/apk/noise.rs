//! Which parts of a content no compressor makes smaller: those that look like noise, as compressed and encrypted data do.
//!
//! To search such bytes for repetitions takes longer than all else that is done to them.

/// The length of the parts that are judged: shorter than most files, so that what stands between them counts little.
const PART: usize = 4 << 10;
/// The greatest sum of the squares of how often each byte occurs: 1.05 times that of equal frequencies, and what chance adds. The
/// bytes then have 7.9 bits of information each.
const MAX_SQUARES: u64 = (PART * PART / 256 * 21 / 20 + PART) as u64;
/// How many of the sampled sequences may have occurred before. By chance two do.
const MAX_REPEATED: usize = PART / 128;
/// The bytes from one sampled sequence to the next.
const STEP: usize = 8;

/// Parts of one kind, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run<'b> {
    /// No compressor makes it smaller.
    Noise(&'b [u8]),
    /// All else.
    Plain(&'b [u8]),
}

/// The runs of a block, in their order.
pub(super) fn runs(block: &[u8]) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    let mut rest = block;
    while let Some(first) = part(rest) {
        let is_noisy = is_noise(first);
        let mut length = first.len();
        while let Some(next) = rest.get(length..).and_then(part).filter(|next| is_noise(next) == is_noisy) {
            length += next.len();
        }
        let (run, after) = rest.split_at(length);
        runs.push(if is_noisy { Run::Noise(run) } else { Run::Plain(run) });
        rest = after;
    }
    runs
}

/// The first part; the last one of a block may be shorter.
fn part(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..PART.min(bytes.len())).filter(|part| !part.is_empty())
}

/// Whether all bytes are about equally frequent, and no sequence comes again and again.
fn is_noise(part: &[u8]) -> bool {
    if part.len() < PART {
        return false;
    }
    let mut frequencies = [0_u64; 256];
    for &byte in part {
        frequencies[usize::from(byte)] += 1;
    }
    frequencies.iter().map(|count| count * count).sum::<u64>() <= MAX_SQUARES
        && repeated(part) <= MAX_REPEATED
}

/// How many of the sampled sequences of four bytes have occurred before, or collide with one that has.
fn repeated(part: &[u8]) -> usize {
    let mut seen = [0_u64; 1024];
    let samples = part.chunks_exact(STEP).filter_map(|chunk| chunk.first_chunk());
    let is_repeated = |sequence: &[u8; 4]| {
        let hash = u32::from_le_bytes(*sequence).wrapping_mul(0x9e37_79b1) >> 16;
        let (word, bit) = ((hash / 64) as usize, 1 << (hash % 64));
        let before = seen[word];
        seen[word] |= bit;
        before & bit != 0
    };
    samples.map(is_repeated).filter(|&is_repeated| is_repeated).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a generator of random numbers (xorshift).
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 56) as u8
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn only_what_cannot_be_compressed_is_noise() {
        assert!(is_noise(&noise(PART)));
        for (what, content) in [
            ("a part that is too short to tell", noise(PART - 1)),
            ("zeros", vec![0; PART]),
            ("text", b"some words of a text, ".repeat(PART / 22 + 1)),
            ("a counter", (0..PART).map(|n| n as u8).collect()),
            ("a counter of two bytes", (0..PART as u16 / 2).flat_map(u16::to_le_bytes).collect()),
            ("noise that is repeated", noise(PART / 16).repeat(16)),
            ("letters", noise(PART).iter().map(|byte| byte & 0x3f).collect()),
        ] {
            assert!(!is_noise(&content[..content.len().min(PART)]), "{what}");
        }
    }

    #[test]
    fn runs_are_the_block() {
        let (noise, zeros) = (noise(2 * PART), vec![0; PART + 5]);
        let block = [&noise[..], &zeros, &noise].concat();
        let runs = runs(&block);
        let bytes_of = |run: &Run<'_>| match run {
            Run::Noise(bytes) | Run::Plain(bytes) => bytes.to_vec(),
        };
        let bytes: Vec<u8> = runs.iter().flat_map(bytes_of).collect();
        assert_eq!(bytes, block);
        assert_eq!(runs.first(), Some(&Run::Noise(&noise)));
        assert!(matches!(runs.get(1), Some(Run::Plain(_))));
        assert_eq!(super::runs(&[]), []);
    }
}
