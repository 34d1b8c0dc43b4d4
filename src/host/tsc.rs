//! The frequency of the processor's time stamp counter (TSC), which is also that of a guest under TCG.
//!
//! Linux tells programs the present frequency of a processor, but not that of its TSC. So it is measured, against
//! `CLOCK_MONOTONIC`.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the RDTSC instruction has no safe binding")
)]
// UNSAFETY: one instruction, which reads a register.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// How long a measurement takes: an error of 100 ns in reading the clock is one of 5 parts in a million.
const MEASURED: Duration = Duration::from_millis(20);

/// How many pairs of clock and counter are read for one moment.
const PAIRS: usize = 16;

/// The flags of `/proc/cpuinfo` of a TSC with one frequency at all times.
const INVARIANT: [&str; 2] = ["constant_tsc", "nonstop_tsc"];

/// The frequency in kHz, measured for 20 ms; `None` where it may change.
pub fn measure_khz() -> Option<u32> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    if !is_invariant(&cpuinfo) {
        return None;
    }
    let (start, first) = moment()?;
    thread::sleep(MEASURED);
    let (end, last) = moment()?;
    let took = end.duration_since(start);
    let khz = u128::from(last.checked_sub(first)?) * 1_000_000 / took.as_nanos();
    u32::try_from(khz).ok().filter(|&khz| khz > 0)
}

/// The clock and the counter at one moment: of several pairs the one between whose readings the least time passed, since a busy host may
/// take the processor away in between.
fn moment() -> Option<(Instant, u64)> {
    let pairs = (0..PAIRS).map(|_| {
        let before = read()?;
        let now = Instant::now();
        let after = read()?;
        Some((after.wrapping_sub(before), (now, before.midpoint(after))))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs?.into_iter().min_by_key(|(width, _)| *width).map(|(_, moment)| moment)
}

/// Whether the first processor's flags say that the TSC is invariant.
fn is_invariant(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
    let has = |flag: &&str| flags.split_whitespace().any(|word| word == *flag);
    INVARIANT.iter().all(has)
}

#[cfg(target_arch = "x86_64")]
fn read() -> Option<u64> {
    // SAFETY: Linux lets every program execute RDTSC (prctl(PR_SET_TSC) is not used), and it writes registers only.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn read() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_invariant_counter_has_a_frequency() {
        assert!(is_invariant("processor\t: 0\nflags\t\t: fpu constant_tsc rep_good nonstop_tsc\n"));
        assert!(!is_invariant("flags\t\t: fpu constant_tsc_not nonstop_tsc\n"));
        assert!(!is_invariant("flags\t\t: fpu tsc\n"));
        assert!(!is_invariant(""));
    }

    #[test]
    fn two_measurements_agree() {
        // Without an invariant counter there is nothing to compare.
        if let (Some(first), Some(second)) = (measure_khz(), measure_khz()) {
            let ratio = f64::from(first) / f64::from(second);
            assert!((0.99..1.01).contains(&ratio), "{first} kHz, then {second} kHz");
        }
    }
}
