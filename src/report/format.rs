//! Durations, phases, sizes and exit statuses for people.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::event::{Phase, Status};

/// An age: `now`, `5m ago`, `3h ago`, `12d ago`.
pub fn age(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0 => "now".into(),
        1..60 => format!("{minutes}m ago"),
        60..2880 => format!("{}h ago", minutes / 60),
        _ => format!("{}d ago", minutes / 1440),
    }
}

/// `350ms`, `12.3s`, `2m05s`, `1h02m`.
pub(super) fn duration(duration: Duration) -> String {
    let (millis, seconds) = (duration.as_millis(), duration.as_secs());
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `kernel 900ms, mounts 20ms`.
pub(super) fn phases(phases: &[Phase]) -> String {
    let each = |Phase { name, duration }: &Phase| format!("{name} {}", self::duration(*duration));
    phases.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// `512 B`, `12.3 KiB`, `412 MiB`.
pub fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut whole = bytes;
    let mut tenths = 0;
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        (tenths, whole, unit) = (whole % 1024 * 10 / 1024, whole / 1024, next);
    }
    if unit == "B" || whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
}

/// `done`, `exit status 2`, `ended by signal 9 (SIGKILL)`, ….
pub(super) fn status(status: Status) -> String {
    match status {
        Status::Code(0) => "done".into(),
        Status::Code(code) => format!("exit status {code}"),
        Status::Signal(number) => match Signal::try_from(number) {
            Ok(signal) => format!("ended by signal {number} ({signal})"),
            Err(_) => format!("ended by signal {number}"),
        },
        Status::TimedOut => "time ran out".into(),
        Status::Cancelled => "cancelled".into(),
    }
}

/// `1 entry`, `2 entries`.
pub(super) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".into() } else { format!("{count} entries") }
}

/// `1 package`, `2 packages`.
pub(super) fn packages(count: usize) -> String {
    if count == 1 { "1 package".into() } else { format!("{count} packages") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1.0s"),
            (59_999, "59.9s"),
            (125_000, "2m05s"),
            (3_725_000, "1h02m"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (12_595, "12.2 KiB"),
            (412 << 20, "412 MiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in
            [(59, "now"), (60, "1m ago"), (3600, "1h ago"), (172_799, "47h ago"), (172_800, "2d ago")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
        assert_eq!(status(Status::Signal(9)), "ended by signal 9 (SIGKILL)");
        assert_eq!(status(Status::Signal(99)), "ended by signal 99");
    }
}
