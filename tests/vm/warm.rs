//! Guests that are restored from templates: each is a guest of its own, and a template that is damaged is replaced.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

use super::{build_command, home_of_its_own, project, said};

/// Prints what two guests must not have in common, and the host's share of what they must have.
const IDENTITY: &str = "echo boot=$(cat /proc/sys/kernel/random/boot_id)
echo uuid=$(cat /proc/sys/kernel/random/uuid)
echo random=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' ')
echo stack=$(grep -o '^[0-9a-f]*-[0-9a-f]* .*stack' /proc/self/maps | cut -d- -f1)
echo cache=$(cat /var/cache/melange/kept)
test \"$(cat /proc/sys/kernel/hostname)\" != \"(none)\"
test $(nproc) = 2
getent hosts localhost >/dev/null";

/// A build that starts so, in a home of its own.
fn warm(directory: &Path, home: &Path, start: &str) -> Command {
    let mut command = build_command(directory, "cache", "plain");
    command.args(["--start", start]).env("KILN_HOME", home);
    command
}

/// A project whose cache has a file.
fn cached(step: &str) -> tempfile::TempDir {
    let directory = project("root", &[step]);
    fs::create_dir(directory.path().join("cache")).expect("made");
    fs::write(directory.path().join("cache/kept"), "from-the-host").expect("written");
    directory
}

/// The templates of a home.
fn templates(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home.join("templates")) else { return Vec::new() };
    entries.map(|entry| entry.expect("listed").path()).filter(|path| path.is_dir()).collect()
}

/// The inode of a template's record, which is written once.
fn inode(template: &Path) -> u64 {
    fs::metadata(template.join("record.json")).expect("it is there").ino()
}

/// Runs a build; returns the values that it printed.
fn run(command: &mut Command) -> Vec<(String, String)> {
    let output = command.output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    let values = text.lines().filter_map(|line| line.split_once("] ")?.1.split_once('='));
    values.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn guests_of_one_template_have_nothing_in_common_but_the_template() {
    let (directory, home) = (cached(IDENTITY), home_of_its_own());
    let guests: Vec<_> = [(); 3].map(|()| run(&mut warm(directory.path(), home.path(), "warm"))).into();
    assert_eq!(templates(home.path()).len(), 1);
    for (name, value) in &guests[0] {
        let others = guests[1..].iter().flatten().filter(|(other, _)| other == name);
        let equal = others.filter(|(_, other)| other == value).count();
        assert_eq!(equal, if name == "cache" { 2 } else { 0 }, "{name}={value}: {guests:?}");
    }
    let names: Vec<&str> = guests[0].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["boot", "uuid", "random", "stack", "cache"]);
}

#[test]
fn a_damaged_template_is_replaced_and_a_cold_start_needs_none() {
    let (directory, home) = (cached("true"), home_of_its_own());
    run(&mut warm(directory.path(), home.path(), "cold"));
    assert_eq!(templates(home.path()), Vec::<PathBuf>::new());
    run(&mut warm(directory.path(), home.path(), "auto"));
    let made = templates(home.path());
    assert_eq!(made.len(), 1);
    for file in ["memory", "state"] {
        let path = made[0].join(file);
        let before = inode(&made[0]);
        let file = fs::File::options().write(true).open(&path).expect("opened");
        file.write_at(&[0; 4096], 8192).expect("written");
        drop(file);
        run(&mut warm(directory.path(), home.path(), "auto"));
        assert_eq!(templates(home.path()), made);
        assert_ne!(inode(&made[0]), before, "{path:?}: it was made anew");
    }
}

#[test]
fn a_template_that_image_warm_has_made_is_that_of_the_builds_that_follow() {
    let (directory, home) = (cached("true"), home_of_its_own());
    let image_warm = |virtiofs: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.args(["image", "warm", "--accel", "tcg", "--memory", "1Gi", "--cpu", "2"]);
        command
            .current_dir(directory.path())
            .env("KILN_HOME", home.path())
            .env("QEMU_USE_VIRTIOFS", virtiofs);
        let output = command.output().expect("kiln can be started");
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (virtiofs, number) in [("0", 1), ("1", 2)] {
        assert!(image_warm(virtiofs).contains("has been made: 1024 MiB and 2 processors"));
        assert!(image_warm(virtiofs).contains("is there"));
        let mut build = warm(directory.path(), home.path(), "warm");
        run(build.args(["--cpu", "2"]).env("QEMU_USE_VIRTIOFS", virtiofs));
        assert_eq!(templates(home.path()).len(), number);
    }
    assert!(!directory.path().join("melange-cache").exists(), "no cache is made");
}

#[test]
fn builds_that_start_at_once_make_one_template() {
    let (directory, home) = (cached("true"), home_of_its_own());
    let builds: Vec<_> = (0..3)
        .map(|number| {
            let mut command = warm(directory.path(), home.path(), "auto");
            command.args(["--out-dir", &format!("packages-{number}")]);
            command.spawn().expect("started")
        })
        .collect();
    for mut build in builds {
        assert!(build.wait().expect("it ends").success());
    }
    assert_eq!(templates(home.path()).len(), 1);
}

/// Adds what both guests have in common by name, and writes into the cache.
const KEEPS: &str = "
echo line >> /var/cache/melange/log
echo lines=$(wc -l < /var/cache/melange/log)
test \"$(cat input)\" = from-the-source";

#[test]
fn guests_with_virtiofs_shares_are_restored() {
    for server in [&["--virtiofsd", "embedded", "--source-share", "virtiofs"][..], &[]] {
        let (directory, home) = (cached(&format!("{IDENTITY}{KEEPS}")), home_of_its_own());
        fs::write(directory.path().join("input"), "from-the-source\n").expect("written");
        let guests: Vec<_> = [(); 2]
            .map(|()| {
                let mut command = warm(directory.path(), home.path(), "warm");
                command.args(["--cache-mode", "rw"]).args(server).env("QEMU_USE_VIRTIOFS", "1");
                run(&mut command)
            })
            .into();
        assert_eq!(templates(home.path()).len(), 1);
        for ((name, first), (_, second)) in guests[0].iter().zip(&guests[1]) {
            assert_eq!(first == second, name == "cache", "{name}: {first} and {second}");
        }
        assert_eq!(guests[1].last(), Some(&("lines".into(), "2".into())));
    }
}

#[test]
fn a_guest_with_a_virtiofs_share_boots_if_its_template_is_damaged() {
    let (directory, home) = (cached("echo x > /var/cache/melange/new"), home_of_its_own());
    let rw = || {
        let mut command = warm(directory.path(), home.path(), "auto");
        command.args(["--cache-mode", "rw"]);
        command
    };
    run(&mut rw());
    let made = templates(home.path());
    assert_eq!(made.len(), 1);
    // The state is that of another machine, and the record says that it is right.
    let state = b"not a state";
    fs::write(made[0].join("state"), state).expect("written");
    let record = fs::read(made[0].join("record.json")).expect("it is there");
    let mut record: serde_json::Value = serde_json::from_slice(&record).expect("it is JSON");
    record["state_sha256"] = data_encoding::HEXLOWER.encode(&Sha256::digest(state)).into();
    fs::write(made[0].join("record.json"), record.to_string()).expect("written");
    run(&mut rw());
    assert_eq!(templates(home.path()), Vec::<PathBuf>::new());
    assert!(directory.path().join("cache/new").is_file());
}
