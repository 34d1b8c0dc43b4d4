//! fsx on each share: random reads, writes, mapped ones, cuts, holes and copies of one file, each compared with a copy in memory.

use std::fmt::Write;

use super::{
    expected::Cause,
    run::{Host, give_program, run},
    share::{Share, usable},
    tools::Tool,
};
use crate::sampling::{Sampler, takes_all};

/// How many of the shares outside the soak.
const FEW: usize = 1;

/// Runs on each share, each with a seed of its own, and operations of each.
const SOAK: (usize, u32) = (10, 100_000);
const SHORT: (usize, u32) = (1, 3_000);

/// The operations, and how often each comes. The file is synced seldom: a real disk takes most of the time for it.
const OPERATIONS: [(&str, f32); 14] = [
    ("close_open", 1.0),
    ("invalidate", 1.0),
    ("mapread", 2.0),
    ("mapwrite", 2.0),
    ("read", 2.0),
    ("write", 2.0),
    ("truncate", 2.0),
    ("fsync", 0.02),
    ("fdatasync", 0.02),
    ("posix_fallocate", 1.0),
    ("punch_hole", 1.0),
    ("sendfile", 1.0),
    ("posix_fadvise", 1.0),
    ("copy_file_range", 1.0),
];

/// Operations that a share does not have, and why. A run of each, beside writes, must fail.
const MISSING: &[(Share, &[&str], Cause)] =
    &[(Share::NineP, &["posix_fallocate", "punch_hole"], Cause::NinePReserve)];

fn missing(share: Share) -> impl Iterator<Item = &'static str> {
    MISSING.iter().filter(move |(of, ..)| *of == share).flat_map(|(_, names, _)| names.iter().copied())
}

/// The causes in [`MISSING`].
pub(super) fn causes() -> impl Iterator<Item = Cause> {
    MISSING.iter().map(|(.., cause)| *cause)
}

#[test]
fn fsx_reads_what_it_has_written() {
    let (mut sampler, shares) = Sampler::of("fsx", usable(), FEW);
    let (runs, operations) = if takes_all() { SOAK } else { SHORT };
    let mut found = Vec::new();
    for share in shares {
        let seeds: Vec<u64> = (0..runs).map(|_| sampler.below(1 << 32)).collect();
        let place = Host::invoker().place();
        give_program(&place, &Tool::Fsx.program());
        let said = run(&place, share, "root", &script(share, &seeds, operations));
        let good = said.lines().filter(|line| line.ends_with(": no difference")).count();
        let absent = said.lines().filter(|line| line.ends_with(": missing, as expected")).count();
        sampler.say(&format!(
            "{share:?}: {good} of {runs} runs of {operations} operations without a difference"
        ));
        if (good, absent) != (runs, missing(share).count()) {
            found.push(format!("{share:?}: {said}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn script(share: Share, seeds: &[u64], operations: u32) -> String {
    let mut script = format!("cd {}\n", share.directory());
    let all = OPERATIONS.iter().copied().filter(|(name, _)| !missing(share).any(|one| one == *name));
    write_weights(&mut script, "/tmp/all.toml", all);
    for seed in seeds {
        // The artifacts of a difference are long: the log of the last operations is enough, and the seed repeats the run.
        writeln!(
            script,
            "if /home/build/fsx -f /tmp/all.toml -N {operations} -S {seed} -P /tmp file > /tmp/said 2>&1\n\
             then echo 'seed {seed}: no difference'\n\
             else echo 'seed {seed}: exit' $?; tail -n 40 /tmp/said; fi\nrm -f file"
        )
        .unwrap();
    }
    for name in missing(share) {
        write_weights(&mut script, "/tmp/one.toml", [(name, 1.0), ("write", 1.0)].into_iter());
        writeln!(
            script,
            "if /home/build/fsx -f /tmp/one.toml -N 100 -S 1 -P /tmp file > /tmp/said 2>&1\n\
             then echo '{name}: no longer missing'\n\
             elif grep -q -e EOPNOTSUPP -e 'does not support' /tmp/said\n\
             then echo '{name}: missing, as expected'\n\
             else tail -n 40 /tmp/said; fi\nrm -f file"
        )
        .unwrap();
    }
    script
}

/// Writes fsx's configuration. An operation that it does not name has a weight, too.
fn write_weights(script: &mut String, path: &str, weights: impl Iterator<Item = (&'static str, f32)>) {
    let weights: Vec<_> = weights.collect();
    writeln!(script, "cat > {path} <<'END'\n[weights]").unwrap();
    for (name, _) in OPERATIONS {
        let weight = weights.iter().find(|(one, _)| *one == name).map_or(0.0, |(_, weight)| *weight);
        writeln!(script, "{name} = {weight:.2}").unwrap();
    }
    script.push_str("END\n");
}
