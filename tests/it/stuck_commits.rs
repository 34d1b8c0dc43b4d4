//! A commit that kiln called kept, and whose record or staging directory was changed before it was complete.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use kiln::{
    cache::{LockMode, Verdict, verify},
    exit::{Code, code_of},
};
use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::cache::{Bench, Upper, committed, waiting};

/// A change to a cache in which a commit waits.
type Deed = fn(&Bench);

fn record(bench: &Bench) -> PathBuf {
    let journal = fs::read_dir(bench.home().dir("journals").unwrap()).unwrap().next().unwrap().unwrap();
    journal.path().join("000000000001")
}

fn other_byte(bench: &Bench, at: usize) {
    let mut bytes = fs::read(record(bench)).unwrap();
    bytes[at] ^= 1;
    fs::write(record(bench), bytes).unwrap();
}

/// The verdict with a shared lease, which repairs nothing.
fn looked_at(bench: &Bench) -> Verdict {
    verify(&bench.try_lease(LockMode::Shared).unwrap()).unwrap()
}

#[test]
fn a_commit_that_cannot_be_finished_is_a_fault_until_it_is_given_up() {
    let deeds: [(&str, Deed, bool); 5] = [
        ("another version", |bench| other_byte(bench, 0), true),
        ("it is damaged", |bench| other_byte(bench, 40), true),
        ("it is damaged", |bench| fs::write(record(bench), b"\x01").unwrap(), true),
        (
            "its staging directory in .kiln is gone",
            |bench| fs::remove_dir_all(bench.cache().join(".kiln")).unwrap(),
            false,
        ),
        (
            "its staging directory in .kiln is gone",
            |bench| {
                let staged = fs::read_dir(bench.cache().join(".kiln")).unwrap().next().unwrap().unwrap();
                fs::remove_dir_all(staged.path().join("tree")).unwrap();
            },
            false,
        ),
    ];
    for (why, deed, stays) in deeds {
        let bench = waiting();
        deed(&bench);
        for _ in 0..2 {
            let Verdict { records, waiting, .. } = looked_at(&bench);
            assert!(records.len() == 1 && records[0].why.contains(why), "{records:?}");
            assert_eq!(waiting, 0);
            assert!(!stays || bench.has(".kiln"), "{why}: what the record may name is removed");
        }
        // Other commits are not disturbed, and what they leave is removed.
        committed(&bench.lease(), &Upper::default().file("other", "x").end());
        let verdict = verify(&bench.alone()).unwrap();
        assert!(verdict.records.len() == 1 && verdict.records[0].repaired && verdict.unrepaired() == 0);
        assert_eq!((bench.has("other"), bench.has("deleted")), (true, true));
        bench.is_clean();
        assert_eq!(looked_at(&bench).records, []);
    }
}

#[test]
fn a_damaged_record_is_found_when_the_device_has_another_number() {
    let bench = waiting();
    other_byte(&bench, 40);
    bench.renumber();
    let verdict = looked_at(&bench);
    assert_eq!((verdict.records.len(), bench.has(".kiln")), (1, true));
}

#[test]
fn a_commit_whose_staging_directory_goes_before_the_merge_is_not_called_kept() {
    let bench = Bench::new();
    let lease = bench.lease();
    let upper = Upper::default().file("new", "x").end();
    let kiln::cache::Outcome::Staged(staged) =
        kiln::cache::stage(&lease, &upper[..], kiln::cache::CommitLimit::default()).unwrap()
    else {
        panic!("there is something new")
    };
    fs::remove_dir_all(bench.cache().join(".kiln")).unwrap();
    let error = kiln::cache::commit(&lease, *staged, lease.lock_commits().unwrap()).unwrap_err();
    assert_eq!(code_of(&error), Code::Cache);
    assert!(format!("{error:#}").contains("its staging directory in .kiln is gone"), "{error:#}");
}

#[test]
fn what_lies_in_the_place_of_the_staging_directory_is_removed_and_not_followed() {
    let deeds: [Deed; 4] = [
        |bench| bench.write(".kiln", "a file"),
        |bench| symlink("../outside", bench.cache().join(".kiln")).unwrap(),
        |bench| mkfifo(&bench.cache().join(".kiln"), Mode::S_IRWXU).unwrap(),
        |bench| {
            fs::create_dir(bench.cache().join(".kiln")).unwrap();
            fs::set_permissions(bench.cache().join(".kiln"), Permissions::from_mode(0o000)).unwrap();
        },
    ];
    for deed in deeds {
        let bench = Bench::new();
        fs::create_dir(bench.cache().join("../outside")).unwrap();
        deed(&bench);
        committed(&bench.lease(), &Upper::default().file("new", "x").end());
        assert!(bench.has("new"));
        bench.is_clean();
        assert_eq!(fs::read_dir(bench.cache().join("../outside")).unwrap().count(), 0);
    }
}

#[test]
fn strange_things_in_the_staging_directory_are_faults_that_can_be_mended() {
    let bench = Bench::new();
    bench.write(".kiln/file", "x");
    bench.write(".kiln/directory/file", "x");
    // As those of another home, which may come back.
    bench.write(".kiln/1-2-0123456789abcdef/tree/file", "x");
    mkfifo(&bench.cache().join(".kiln/fifo"), Mode::S_IRWXU).unwrap();
    let paths = |verdict: &Verdict| {
        let mut paths: Vec<_> =
            verdict.faults.iter().map(|fault| String::from_utf8_lossy(&fault.path).into_owned()).collect();
        paths.sort();
        paths
    };
    let expected = [".kiln/directory", ".kiln/fifo", ".kiln/file"];
    assert_eq!(paths(&looked_at(&bench)), expected);
    let mended = verify(&bench.alone()).unwrap();
    assert_eq!((paths(&mended), mended.unrepaired()), (expected.map(String::from).to_vec(), 0));
    assert_eq!(paths(&looked_at(&bench)), [""; 0]);
    assert!(bench.has(".kiln/1-2-0123456789abcdef/tree/file"));
    fs::remove_dir_all(bench.cache().join(".kiln")).unwrap();
    symlink("..", bench.cache().join(".kiln")).unwrap();
    assert_eq!(paths(&verify(&bench.alone()).unwrap()), [".kiln"]);
    assert!(!bench.has(".kiln"));
}
