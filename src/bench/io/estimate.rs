//! How long a round takes: announced before the first visit, from the time of the guest that has made the inputs.

use std::time::Duration;

use super::{
    scenarios::{COMPILE, STATUS, Scale, Work},
    selection::Selection,
    variants::Share,
};
use crate::plan::{CacheModeOption, CacheSharing, RunnerKind, VirtiofsOption};

/// What the first guest took on the machine on which the other figures here were measured, in seconds of processor time (two
/// cores, TCG). A guest and the server of its share take turns, so that is about the time that passes on a quiet machine.
const PREPARATION_SECONDS: f64 = 17.6;

/// How fast this machine is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Speed {
    /// The time of a piece of work here, in that of the other machine.
    factor: f64,
}

/// What a share took on that machine, in seconds.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Its guest, from the plan to the removal of its cache.
    guest: f64,
    /// The start of fio, and its files.
    fio: f64,
    /// A section of fio in the mean.
    job: f64,
    /// All passes over 1,000 files.
    files: f64,
    /// Unpacking the small tree.
    untar: f64,
    /// Git in the small tree.
    git: f64,
    /// A package manager in the mean.
    package: f64,
}

/// The compiler in a microVM.
const COMPILE_SECONDS: f64 = 8.0;
/// How much larger the tree of a full run is.
const FULL_TREE: f64 = 4.0;

impl Speed {
    /// From the time of the first guest.
    pub(super) fn of_preparation(elapsed: Duration) -> Self {
        Self { factor: elapsed.as_secs_f64() / PREPARATION_SECONDS }
    }

    /// An estimate for one visit of each share.
    pub(super) fn seconds_per_round(self, selection: &Selection) -> f64 {
        selection.shares.iter().map(|share| self.seconds(share, selection)).sum()
    }

    fn seconds(self, share: &Share, Selection { scenarios, scale, .. }: &Selection) -> f64 {
        let Cost { guest, fio, job, files, untar, git, package } = cost(share);
        let has = |wanted: fn(&Work) -> bool| scenarios.iter().filter(|one| wanted(&one.work)).count() as f64;
        let is_in = |id: &str| scenarios.iter().any(|one| one.row.id == id);
        let jobs = has(|work| matches!(work, Work::Fio(_)));
        let mut seconds = guest + jobs * job + has(|work| *work == Work::Package) * package;
        if jobs > 0.0 {
            seconds += fio;
        }
        if has(|work| *work == Work::Files) > 0.0 {
            seconds += files * f64::from(scale.files()) / 1000.0;
        }
        let tree = match (has(|work| *work == Work::Tree) > 0.0, is_in(COMPILE) || is_in(STATUS)) {
            (false, _) => 0.0,
            (true, false) => untar,
            (true, true) => untar + git,
        };
        seconds += tree * if *scale == Scale::Full { FULL_TREE } else { 1.0 };
        if is_in(COMPILE) {
            seconds += COMPILE_SECONDS;
        }
        seconds * self.factor
    }
}

fn cost(share: &Share) -> Cost {
    let usual = Cost { guest: 3.5, fio: 3.0, job: 0.7, files: 3.0, untar: 2.0, git: 2.0, package: 15.0 };
    let Some(cache) = share.cache else { return usual };
    match (share.runner, cache.virtiofs, cache.mode, cache.sharing) {
        (RunnerKind::Bubblewrap | RunnerKind::Docker, ..) => {
            Cost { guest: 0.2, fio: 0.5, job: 0.2, files: 0.1, untar: 0.2, git: 0.1, package: 1.0 }
        }
        (RunnerKind::Qemu, VirtiofsOption::Off, CacheModeOption::Rw, _) => {
            Cost { job: 0.9, files: 76.0, untar: 12.0, git: 14.0, package: 40.0, ..usual }
        }
        (RunnerKind::Qemu, VirtiofsOption::Off, ..) => usual,
        (RunnerKind::Qemu, VirtiofsOption::Spawned | VirtiofsOption::Embedded, _, CacheSharing::Shared) => {
            Cost { job: 1.1, files: 22.0, untar: 5.0, git: 5.0, package: 25.0, ..usual }
        }
        (RunnerKind::Qemu, VirtiofsOption::Spawned | VirtiofsOption::Embedded, ..) => {
            Cost { job: 0.8, files: 12.0, untar: 3.5, git: 3.5, package: 20.0, ..usual }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::io::{
        scenarios::{matching, scenarios},
        variants::shares,
    };

    fn seconds(names: &str, share: &str, speed: Speed) -> f64 {
        let all = scenarios(Scale::Full).expect("they can be read");
        let chosen = matching(all, names).expect("they are there");
        let shares = shares(1).into_iter().filter(|one| one.id == share).collect();
        speed.seconds_per_round(&Selection { shares, scenarios: chosen, scale: Scale::Full })
    }

    #[test]
    fn an_estimate_grows_with_the_work_and_with_the_time_of_the_first_guest() {
        let usual = Speed::of_preparation(Duration::from_secs_f64(PREPARATION_SECONDS));
        let slow = Speed::of_preparation(Duration::from_secs_f64(3.0 * PREPARATION_SECONDS));
        let little = seconds("psync-read-4k-1", "disk", usual);
        assert!((little - 7.2).abs() < 0.01, "{little}");
        assert!((seconds("psync-read-4k-1", "disk", slow) - 3.0 * little).abs() < 0.01);
        for (more, less) in [("psync", "psync-read-4k-1"), ("compile", "untar"), ("package", "go-build")] {
            assert!(seconds(more, "disk", usual) > seconds(less, "disk", usual), "{more}, {less}");
        }
        for (slower, faster) in [("9p-rw", "spawned-auto"), ("spawned-auto", "disk"), ("disk", "host")] {
            assert!(seconds("stat", slower, usual) > seconds("stat", faster, usual), "{slower}, {faster}");
        }
    }
}
