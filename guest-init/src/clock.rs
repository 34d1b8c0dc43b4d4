//! Sets the clock and feeds the random pool: a guest without a real-time clock, or a restored one, has the wrong time, and
//! may share its randomness with other guests.
#![expect(unsafe_code, reason = "RNDADDENTROPY and RNDRESEEDCRNG have no safe binding")]
// UNSAFETY: two ioctls.

use std::{fs::File, os::fd::AsRawFd, time::Duration};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    libc,
    sys::time::TimeSpec,
    time::{ClockId, clock_gettime, clock_settime},
};

/// The most that is credited at once: the pool holds 256 bits (random(4), kernel 5.18).
const MOST_ENTROPY: usize = 512;

/// Sets the wall clock.
pub(crate) fn set(nanoseconds: u64) -> Result<()> {
    let time = TimeSpec::from_duration(Duration::from_nanos(nanoseconds));
    clock_settime(ClockId::CLOCK_REALTIME, time).context("set the clock")
}

/// A smaller error is left alone, since a message takes a few milliseconds and a clock that is set may go backwards.
const TOLERATED: Duration = Duration::from_millis(20);

/// Sets the wall clock if it is wrong.
pub(crate) fn correct(nanoseconds: u64) -> Result<()> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).context("read the clock")?;
    if Duration::from(now).abs_diff(Duration::from_nanos(nanoseconds)) > TOLERATED {
        set(nanoseconds)?;
    }
    Ok(())
}

/// Mixes bytes into the kernel's random pool and credits them in full.
pub(crate) fn add_entropy(bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let pool = File::options().write(true).open("/dev/random").context("open /dev/random")?;
    for piece in bytes.chunks(MOST_ENTROPY) {
        let info = pool_info(piece);
        // SAFETY: `info` is a struct rand_pool_info whose buf_size says how many bytes follow, and they do.
        let result = unsafe {
            libc::ioctl(pool.as_raw_fd(), nix::request_code_write!(b'R', 0x03, 8) as _, info.as_ptr())
        };
        Errno::result(result).context("add entropy")?;
    }
    reseed(&pool)
}

/// Has the kernel take its next random numbers from the pool at once: a guest restored from a template would else give those that
/// every other guest of the template gives, for up to a minute.
fn reseed(pool: &File) -> Result<()> {
    // SAFETY: RNDRESEEDCRNG has no argument.
    let result = unsafe { libc::ioctl(pool.as_raw_fd(), nix::request_code_none!(b'R', 0x07) as _) };
    match Errno::result(result) {
        // ENODATA: the generator was not seeded yet, so it has given no numbers that another guest could have.
        Ok(_) | Err(Errno::ENODATA) => Ok(()),
        Err(errno) => Err(errno).context("reseed the random generator"),
    }
}

/// A struct rand_pool_info (linux/random.h): bits, bytes, the bytes padded to words.
fn pool_info(bytes: &[u8]) -> Vec<u32> {
    let length = bytes.len() as u32;
    let words = bytes.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_ne_bytes(word)
    });
    [length * 8, length].into_iter().chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_counted_in_bits_and_padded_to_words() {
        let expected = [40, 5, u32::from_ne_bytes([1, 2, 3, 4]), u32::from_ne_bytes([5, 0, 0, 0])];
        assert_eq!(pool_info(&[1, 2, 3, 4, 5]), expected);
    }
}
