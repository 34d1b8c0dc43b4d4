//! pjdfstest by each share: 398 tests of what POSIX says of the calls that change names and attributes.

use std::collections::BTreeSet;

use super::{
    expected::{ANY_HOST, Cause, Deviation, Results, differences, more_than_spawned},
    run::{Host, give, give_program, run},
    share::{Share, VIRTIOFS, usable},
    tools::Tool,
};
use crate::{sampling::Sampler, skip::skip};

/// How many of the cases run outside the soak.
const FEW: usize = 1;

/// Its sleeps are longer than a tick of the kernel's clock, by which files get their times. The two users are those of the root
/// image and of the build file.
const CONFIG: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.02

[dummy_auth]
entries = [["nobody", "nogroup"], ["build", "build"]]
"#;

/// All of its tests, of which these do not run: a guest's step cannot mount.
const TESTS: usize = 398;
const NEED_A_MOUNT: [&str; 14] = [
    "chmod::erofs_named",
    "chown::erofs_named",
    "chown::lchown::erofs_named",
    "link::erofs_named",
    "mkdir::erofs_new_file",
    "mkfifo::erofs_new_file",
    "open::erofs_named",
    "open::erofs_new_file",
    "rename::erofs_named",
    "rmdir::ebusy",
    "rmdir::erofs_named",
    "symlink::erofs_new_file",
    "truncate::erofs_named",
    "unlink::erofs_named",
];

/// What fails, and why.
pub(super) const TABLE: &[Deviation] = &[
    Deviation {
        cause: Cause::LinkCountOfMusl,
        shares: &Share::ALL,
        hosts: ANY_HOST,
        tests: &["link::link_count_max"],
    },
    Deviation {
        cause: Cause::Whiteout,
        shares: &[Share::NinePOverlay, Share::Workspace],
        hosts: ANY_HOST,
        // These two make another device.
        tests: &["*::char", "!mknod::changed_times_success::char", "!mknod::device_files::char"],
    },
    Deviation {
        cause: Cause::OneOwner,
        shares: VIRTIOFS,
        hosts: ANY_HOST,
        tests: &[
            "chmod::clear_isgid_bit",
            "mkdir::uid_gid_eq_euid_egid",
            "mkfifo::uid_gid_eq_euid_egid",
            "mknod::uid_gid_eq_euid_egid",
            "open::uid_gid_eq_euid_egid",
        ],
    },
    Deviation {
        cause: Cause::DeviceNodes,
        shares: &[Share::EmbeddedShared, Share::EmbeddedAlone, Share::Bubblewrap],
        hosts: ANY_HOST,
        tests: DEVICE_NODES,
    },
    Deviation {
        cause: Cause::DeviceNodes,
        shares: &[Share::SpawnedShared, Share::SpawnedAlone],
        hosts: &[Host::User],
        tests: DEVICE_NODES,
    },
    Deviation {
        cause: Cause::ClockOfTheGuest,
        shares: &[Share::SpawnedAlone, Share::EmbeddedAlone],
        hosts: ANY_HOST,
        tests: &["rename::changed_ctime_success::regular", "utimensat::utime_now"],
    },
    Deviation {
        cause: Cause::NinePSpecial,
        shares: &[Share::NineP],
        hosts: ANY_HOST,
        tests: &[
            "*::fifo",
            "*::socket",
            "*::block",
            "*::char",
            "mkfifo::changed_time_fields_success",
            "mkfifo::permission_bits_from_mode",
            "mkfifo::uid_gid_eq_euid_egid",
            "mknod::changed_time_fields_success",
            "mknod::permission_bits_from_mode",
            "mknod::uid_gid_eq_euid_egid",
            "open::fifo_nonblock_wronly",
            "open::socket_error",
        ],
    },
    Deviation {
        cause: Cause::NinePReserve,
        shares: &[Share::NineP],
        hosts: ANY_HOST,
        tests: &[
            "posix_fallocate::affected_only_create_flags",
            "posix_fallocate::increase_empty",
            "posix_fallocate::increase_not_empty",
            "posix_fallocate::update_ctime_success",
        ],
    },
    Deviation {
        cause: Cause::NinePTime,
        shares: &[Share::NineP],
        hosts: ANY_HOST,
        tests: &["utimensat::subsecond"],
    },
];

/// Any device but the character device 0:0, which is no device and can be made without a capability.
const DEVICE_NODES: &[&str] =
    &["*::block", "mknod::changed_times_success::char", "mknod::device_files::char"];

/// All shares of root, and those that behave otherwise for an ordinary user.
fn cases() -> Vec<(Share, Host)> {
    let shares = usable();
    let of = |host| shares.iter().map(move |share| (*share, host));
    of(Host::Root).chain(of(Host::User).filter(|(share, _)| VIRTIOFS.contains(share))).collect()
}

#[test]
fn pjdfstest_fails_where_the_table_says() {
    let (sampler, cases) = Sampler::of("pjdfstest", cases(), FEW);
    let mut found = Vec::new();
    for (share, host) in cases {
        if let Some(why) = host.lacks() {
            skip(why);
            continue;
        }
        let (results, skipped) = results(&tested(share, host));
        assert_eq!(results.len() + skipped.len(), TESTS, "{share:?} of {host:?}: not all tests ran");
        assert_eq!(skipped, NEED_A_MOUNT.map(str::to_owned).into(), "{share:?} of {host:?}");
        let failed = results.values().flatten().count();
        let lines = differences(TABLE, share, host, &results);
        sampler.say(&format!(
            "{share:?} of {host:?}: {failed} of {} fail, {} unexpected",
            results.len(),
            lines.len()
        ));
        lines.iter().for_each(|line| sampler.say(line));
        found.extend(lines.into_iter().map(|line| format!("{share:?} of {host:?}: {line}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn tested(share: Share, host: Host) -> String {
    let place = host.place();
    give_program(&place, &Tool::Pjdfstest.program());
    give(&place, "pjdfstest.toml", CONFIG.as_bytes());
    // It exits with 1 when a test failed; its last line says that it came to its end.
    let script = format!(
        "/home/build/pjdfstest -c /home/build/pjdfstest.toml -p {} -s /dev/shm || test $? = 1",
        share.directory()
    );
    run(&place, share, "root", &script)
}

/// The results of the tests, and the names of those that were skipped.
fn results(said: &str) -> (Results, BTreeSet<String>) {
    let (mut results, mut skipped) = (Results::new(), BTreeSet::new());
    let mut lines = said.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, verdict)) = line.split_once(' ') else { continue };
        let repeated = match verdict.trim() {
            "ok" => results.insert(name.to_owned(), None).is_some(),
            "FAILED" => {
                let why = std::iter::from_fn(|| lines.next_if(|line| line.starts_with(['\t', ' '])));
                let why = why.map(str::trim).collect::<Vec<_>>().join(" ");
                results.insert(name.to_owned(), Some(why)).is_some()
            }
            "skipped" => !skipped.insert(name.to_owned()),
            _ => false,
        };
        assert!(!repeated, "{name} ran twice");
    }
    (results, skipped)
}

#[test]
fn kilns_device_fails_nowhere_where_the_daemon_does_not() {
    for share in [Share::EmbeddedShared, Share::EmbeddedAlone] {
        assert_eq!(more_than_spawned(TABLE, share, Host::User), BTreeSet::new(), "{share:?}");
        // A daemon of root has a capability that kiln's device drops.
        let expected = DEVICE_NODES.iter().map(|test| (Cause::DeviceNodes, *test)).collect();
        assert_eq!(more_than_spawned(TABLE, share, Host::Root), expected, "{share:?}");
    }
}

#[test]
fn results_of_pjdfstest_are_read() {
    let said = "open::a   ok\nopen::b   FAILED\n\tassertion failed\n  left: 1\nopen::c   skipped\n\trequires\nSummary: 1 failed\n";
    let (results, skipped) = results(said);
    let expected =
        [("open::a".to_owned(), None), ("open::b".to_owned(), Some("assertion failed left: 1".to_owned()))];
    assert_eq!(results, Results::from(expected));
    assert_eq!(skipped, ["open::c".to_owned()].into());
}
