//! The known deviations of the shares, each with its cause: what fails in a test, and must fail. A failure that is not here fails
//! the test, and so does one that is here and has gone.

use std::collections::{BTreeMap, BTreeSet};

use super::{run::Host, share::Share};

/// Why something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    AttributesOff,
    ClockOfTheGuest,
    DeviceNodes,
    LinkCountOfMusl,
    NinePExchange,
    NinePReserve,
    NinePSpecial,
    NinePTime,
    NinePUnlinked,
    OldLinkCopied,
    OneOwner,
    Unnamed,
    UnreadableNew,
    Whiteout,
}

impl Cause {
    /// What `docs/filesystems.md` says of it, word for word.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::AttributesOff => {
                "Extended attributes are off, so that a guest cannot set capabilities on files of the host."
            }
            Self::ClockOfTheGuest => {
                "With write-back the guest sets times of files by its own clock, which may be behind the host's."
            }
            Self::DeviceNodes => {
                "The process that makes the files on the host has no right to make device nodes (`CAP_MKNOD`)."
            }
            Self::LinkCountOfMusl => {
                "The C library of the test (musl) says that a file has at most 8 links, and file systems allow more."
            }
            Self::NinePExchange => "The 9p protocol has no request that exchanges two names.",
            Self::NinePReserve => "The 9p protocol has no request that reserves space or makes holes.",
            Self::NinePSpecial => {
                "QEMU's 9p server opens each new file to set its owner and mode, which fails for fifos, sockets and device nodes."
            }
            Self::NinePTime => "By 9p the times that a tool sets are whole seconds.",
            Self::NinePUnlinked => {
                "QEMU's 9p server finds a file by its name, also when it is asked for an open file."
            }
            Self::OldLinkCopied => {
                "An overlay copies a file of the lower layer when it is linked; the old name still shows the original's inode."
            }
            Self::OneOwner => {
                "All files belong to one user: inside to the user of the step, outside to the user that runs kiln."
            }
            Self::Unnamed => {
                "Neither the 9p protocol nor virtiofsd nor overlays of Linux 6.1 have unnamed files."
            }
            Self::UnreadableNew => {
                "With write-back virtiofsd (1.14) cannot read a new file that was created to be written only."
            }
            Self::Whiteout => {
                "In an overlay the character device 0:0 marks a deleted file, and cannot be made."
            }
        }
    }

    /// Whether it always fails what it may fail.
    fn always(self) -> bool {
        self != Self::ClockOfTheGuest
    }
}

/// Tests that fail for one cause.
pub(super) struct Deviation {
    /// The cause.
    pub(super) cause: Cause,
    /// Where.
    pub(super) shares: &'static [Share],
    /// When one of these users runs kiln.
    pub(super) hosts: &'static [Host],
    /// Names of tests. `*::fifo` is every test whose name ends with `::fifo`; `!mknod::fifo` is not one of them.
    pub(super) tests: &'static [&'static str],
}

impl Deviation {
    /// Whether it is one of this share, when this user runs kiln.
    pub(super) fn is_of(&self, share: Share, host: Host) -> bool {
        self.shares.contains(&share) && self.hosts.contains(&host)
    }
}

/// Both.
pub(super) const ANY_HOST: &[Host] = &[Host::Root, Host::User];

/// The results of a run, by the name of the test: what went wrong, or `None`.
pub(super) type Results = BTreeMap<String, Option<String>>;

/// What of the results is not in the table, and what of the table is not in the results, as lines.
pub(super) fn differences(table: &[Deviation], share: Share, host: Host, results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    let mut expected = BTreeMap::new();
    for Deviation { cause, tests, .. } in table.iter().filter(|deviation| deviation.is_of(share, host)) {
        let is_excepted = |name: &str| tests.iter().any(|one| one.strip_prefix('!') == Some(name));
        for pattern in *tests {
            let named = pattern.trim_start_matches('!');
            let names: Vec<&String> = results.keys().filter(|name| matches(named, name)).collect();
            if names.is_empty() {
                lines.push(format!("{named}: the table has it, and no such test ran"));
            }
            let names = names.into_iter().filter(|name| !is_excepted(name));
            expected.extend(names.map(|name| (name, *cause)));
        }
    }
    for (name, result) in results {
        match (result, expected.get(name)) {
            (Some(error), None) => lines.push(format!("{name}: fails, and is not in the table: {error}")),
            (None, Some(cause)) if cause.always() => {
                lines.push(format!("{name}: no longer fails, so take it from the table ({cause:?})"));
            }
            (None, _) | (Some(_), Some(_)) => {}
        }
    }
    lines
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => name == pattern,
    }
}

/// The deviations of kiln's own device that the daemon of the host with the same policy does not have.
pub(super) fn more_than_spawned(
    table: &[Deviation],
    share: Share,
    host: Host,
) -> BTreeSet<(Cause, &'static str)> {
    let of = |share| -> BTreeSet<(Cause, &'static str)> {
        let deviations = table.iter().filter(|deviation| deviation.is_of(share, host));
        deviations.flat_map(|one| one.tests.iter().map(|test| (one.cause, *test))).collect()
    };
    let spawned = share.spawned().expect("it is kiln's own device");
    of(share).difference(&of(spawned)).copied().collect()
}

#[test]
fn a_new_failure_and_one_that_has_gone_are_differences() {
    let deviation = |cause, tests| Deviation { cause, shares: &[Share::NineP], hosts: ANY_HOST, tests };
    let table = [
        deviation(Cause::NinePTime, &["time", "*::fifo", "!good::fifo"]),
        deviation(Cause::ClockOfTheGuest, &["clock"]),
        Deviation { cause: Cause::OneOwner, shares: &[Share::Docker], hosts: ANY_HOST, tests: &["other"] },
    ];
    let found = |failing: &[&str]| {
        let all = ["time", "open::fifo", "link::fifo", "good::fifo", "clock", "other", "good"];
        let result = |name: &str| failing.contains(&name).then(|| "EIO".to_owned());
        let results = all.iter().map(|name| ((*name).to_owned(), result(name))).collect();
        differences(&table, Share::NineP, Host::Root, &results)
    };
    let usual = ["time", "open::fifo", "link::fifo"];
    assert_eq!(found(&usual), [""; 0]);
    assert_eq!(found(&[&usual[..], &["clock"]].concat()), [""; 0]);
    assert_eq!(found(&[&usual[..], &["good"]].concat()), ["good: fails, and is not in the table: EIO"]);
    assert_eq!(found(&[&usual[..], &["other"]].concat()), ["other: fails, and is not in the table: EIO"]);
    let excepted = ["good::fifo: fails, and is not in the table: EIO"];
    assert_eq!(found(&[&usual[..], &["good::fifo"]].concat()), excepted);
    assert_eq!(found(&usual[..2]), ["link::fifo: no longer fails, so take it from the table (NinePTime)"]);
    let nothing = differences(&table, Share::NineP, Host::Root, &Results::new());
    assert_eq!(nothing[0], "time: the table has it, and no such test ran");
    assert_eq!(nothing.len(), 4);
}
