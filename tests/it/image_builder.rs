//! An image build that is ended half-way leaves nothing, and the next kiln makes the image.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::{
        fd::AsFd,
        unix::{fs::symlink, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::Stdio,
    thread::sleep,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    mount::{MntFlags, MsFlags, mount, umount2},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill},
        stat::Mode,
        wait::waitpid,
    },
    unistd::{Pid, geteuid, mkfifo},
};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::{errors::Bare, reaper::reaper_of, skip::skip};

/// A maker that has written half of its image, and takes its time.
const SLOW: &str = "echo half >&3; echo maker $$; exec /bin/sleep 1000";

/// A maker that is done at once.
const QUICK: &str = "echo whole >&3";

#[test]
fn an_image_whose_making_is_interrupted_leaves_nothing_half_made() {
    // So that the reaper of a killed kiln becomes a child of this process, and can be waited for.
    set_child_subreaper(true).unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let bare = Bare::new();
        fs::create_dir(bare.at("root")).unwrap();
        bare.program("mkfs.erofs", SLOW);
        let mut command = bare.kiln(&["image", "build", "--progress", "plain", "../root"]);
        let mut kiln = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(kiln.stderr.take().unwrap()).lines().map(Result::unwrap);
        let maker =
            lines.find_map(|line| line.strip_prefix("maker ").and_then(|pid| pid.parse().ok())).unwrap();
        let maker = pidfd_open(rustix::process::Pid::from_raw(maker).unwrap(), PidfdFlags::empty()).unwrap();
        let reaper = Pid::from_raw(reaper_of(kiln.id()).expect("kiln has a reaper").cast_signed());

        kill(Pid::from_raw(kiln.id().cast_signed()), signal).unwrap();

        let status = kiln.wait().unwrap();
        match signal {
            Signal::SIGKILL => assert_eq!(status.signal(), Some(9)),
            _ => assert_eq!(status.code(), Some(128 + signal as i32)),
        }
        // A kiln that ended in order has waited for its reaper.
        if signal == Signal::SIGKILL {
            waitpid(reaper, None).unwrap();
        }
        let mut ended = [PollFd::new(maker.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ended, PollTimeout::from(60_000_u16)).unwrap(), 1, "{signal}: the maker lives");
        let left = names(&bare, "home/images");
        assert!(left.iter().all(|name| name.ends_with(".lock")), "{signal}: {left:?}");
        assert!(names(&bare, "").iter().all(|name| !name.starts_with("kiln-image-")), "{signal}");

        bare.program("mkfs.erofs", QUICK);
        let output = bare.kiln(&["image", "build", "--progress", "plain", "../root"]).output().unwrap();
        bare.said(&output, 0);
        let made = names(&bare, "home/images").into_iter().find(|name| !name.ends_with(".lock")).unwrap();
        assert_eq!(
            fs::read_to_string(bare.at("home/images").join(made).join("root.erofs")).unwrap(),
            "whole\n"
        );
    }
}

/// A tar that takes a while to unpack and pack.
fn many_files(at: &Path) {
    let mut tar = tar::Builder::new(File::create(at).unwrap());
    for number in 0..4000 {
        let mut header = tar::Header::new_gnu();
        header.set_size(1000);
        header.set_mode(0o4755);
        header.set_uid(number % 3000);
        header.set_gid(number % 7);
        tar.append_data(&mut header, format!("d{}/f{number}", number % 50), &[b'x'; 1000][..]).unwrap();
    }
    tar.finish().unwrap();
}

fn mounts_of(path: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter(|line| line.contains(path.to_str().unwrap())).map(String::from).collect()
}

/// With the programs of this machine, and scratch files in the directory of the test.
fn with_tools(bare: &Bare, arguments: &[&str]) -> std::process::Command {
    let mut command = bare.kiln(arguments);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

#[test]
fn a_jail_that_is_killed_at_any_moment_leaves_neither_mounts_nor_files() {
    if !geteuid().is_root() {
        return skip("the tests run as an ordinary user, whose range of ids is not known");
    }
    set_child_subreaper(true).unwrap();
    let bare = Bare::new();
    many_files(&bare.at("root.tar"));
    let arguments = ["image", "build", "--progress", "plain", "../root.tar"];
    for (round, signal) in
        [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT].into_iter().cycle().take(12).enumerate()
    {
        let mut kiln = with_tools(&bare, &arguments).stderr(Stdio::null()).spawn().unwrap();
        // Any moment will do: before the jail, while it is made, while it works.
        sleep(Duration::from_millis(37 * round as u64));
        let reaper = reaper_of(kiln.id()).map(|id| Pid::from_raw(id.cast_signed()));
        kill(Pid::from_raw(kiln.id().cast_signed()), signal).unwrap();
        kiln.wait().unwrap();
        if let (Some(reaper), Signal::SIGKILL) = (reaper, signal) {
            waitpid(reaper, None).unwrap();
        }
        assert_eq!(mounts_of(&bare.at("")), [""; 0], "round {round}");
        let left = names(&bare, "").into_iter().find(|name| name.starts_with("kiln-image-"));
        assert_eq!(left, None, "round {round}, {signal}");
    }
    let output = with_tools(&bare, &arguments).output().unwrap();
    bare.said(&output, 0);
    let left = names(&bare, "home/images");
    assert!(left.iter().all(|name| !name.starts_with(".making-")), "{left:?}");
    assert_eq!(left.len(), 2, "{left:?}");
}

/// Unmounted at the end of a failed test, too.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // Best effort: a sweep has done it.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
}

fn mounted(source: &Path, target: &Path) -> Mounted {
    fs::create_dir_all(target).unwrap();
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    Mounted(target.into())
}

#[test]
fn what_older_versions_left_is_swept_and_nothing_that_is_mounted_in_it() {
    if !geteuid().is_root() {
        return skip("only root can leave mounts");
    }
    let bare = Bare::new();
    bare.program("mkfs.erofs", QUICK);
    for directory in ["root", "precious", "home/images"] {
        fs::create_dir_all(bare.at(directory)).unwrap();
    }
    fs::write(bare.at("precious/file"), "kept").unwrap();
    let key = "0123456789abcdef".repeat(4);
    // One whose record went with its kiln, one that has it, in another directory; with mounts on mounts and odd names.
    let (lost, recorded) = (
        bare.at("kiln-image-0123456789abcdef-abcdef"),
        bare.at("else where/kiln-image-0123456789abcdef-fedcba"),
    );
    let _mounts: Vec<Mounted> = [&lost, &recorded]
        .into_iter()
        .flat_map(|staging| {
            fs::create_dir_all(staging.join("root/etc")).unwrap();
            fs::write(staging.join("root/etc/passwd"), "").unwrap();
            ["root/proc", "root/dev", "root/dev/pts", "root/dev", "root/a b\\\t"]
                .map(|target| mounted(&bare.at("precious"), &staging.join(target)))
        })
        .collect();
    let attempt = bare.at(&format!("home/images/.making-{key}-fedcba"));
    fs::create_dir(&attempt).unwrap();
    symlink(&recorded, attempt.join("staging")).unwrap();
    // A file that only looks like a staging directory, and one that is in use.
    symlink(bare.at("precious"), bare.at("kiln-image-0123456789abcdef-link00")).unwrap();
    fs::write(bare.at("kiln-image-file"), "").unwrap();
    let attempt_of_other = bare.at(&format!("home/images/.making-{key}-other0"));
    fs::create_dir(&attempt_of_other).unwrap();
    symlink(bare.at("precious"), attempt_of_other.join("staging")).unwrap();
    let used = bare.at("kiln-image-0123456789abcdef-in-use");
    fs::create_dir(&used).unwrap();
    let lock = Flock::lock(File::open(&used).unwrap(), FlockArg::LockExclusive).unwrap();
    let old = bare.at("kiln-image-0123456789abcdef-old000");
    fs::create_dir(&old).unwrap();
    let mut old_user = std::process::Command::new("sleep").arg("1000").env("TMPDIR", &old).spawn().unwrap();

    let output = bare.kiln(&["image", "build", "--progress", "plain", "../root"]).output().unwrap();

    bare.said(&output, 0);
    for gone in [&lost, &recorded, &attempt, &attempt_of_other] {
        assert!(!gone.exists(), "{} is left", gone.display());
    }
    assert_eq!(mounts_of(&bare.at("")), [""; 0]);
    assert_eq!(fs::read_to_string(bare.at("precious/file")).unwrap(), "kept");
    assert!(used.exists() && old.exists() && bare.at("kiln-image-file").exists());
    drop(lock);
    old_user.kill().unwrap();
    old_user.wait().unwrap();
    let output = bare.kiln(&["image", "build", "--progress", "plain", "../root"]).output().unwrap();
    bare.said(&output, 0);
    assert!(!used.exists() && !old.exists(), "no longer in use");
}

#[test]
fn a_tar_is_unpacked_where_it_can_make_no_device_and_reach_nothing() {
    if !geteuid().is_root() {
        return skip("the tests run as an ordinary user, whose range of ids is not known");
    }
    let bare = Bare::new();
    let outside = bare.at("outside");
    let link = |tar: &mut tar::Builder<File>, kind, name: &str, target: &Path| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        tar.append_link(&mut header, name, target).unwrap();
    };
    for (name, kind) in
        [("device", tar::EntryType::Char), ("link", tar::EntryType::Symlink), ("hard", tar::EntryType::Link)]
    {
        let path = bare.at(&format!("{name}.tar"));
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        let mut header = tar::Header::new_gnu();
        match name {
            "device" => {
                header.set_entry_type(kind);
                header.set_size(0);
                header.set_device_major(1).unwrap();
                header.set_device_minor(1).unwrap();
                tar.append_data(&mut header, "usr/memory", &[][..]).unwrap();
            }
            "link" => {
                link(&mut tar, kind, "out", outside.parent().unwrap());
                header.set_size(1);
                header.set_mode(0o644);
                tar.append_data(&mut header, "out/outside", &b"x"[..]).unwrap();
            }
            _ => link(&mut tar, kind, "shadow", Path::new("/etc/shadow")),
        }
        tar.finish().unwrap();
        let output = with_tools(&bare, &["image", "build", "--progress", "plain", path.to_str().unwrap()])
            .output()
            .unwrap();
        let code = if name == "link" { output.status.code().unwrap() } else { 4 };
        bare.said(&output, code);
        assert!(!outside.exists(), "{name}");
        assert!(names(&bare, "").iter().all(|name| !name.starts_with("kiln-image-")), "{name}");
    }
}

fn names(bare: &Bare, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(bare.at(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_image_that_somebody_has_damaged_is_named_and_nothing_waits_for_it() {
    let bare = Bare::new();
    let record = "home/images/KEY/image.json".replace("KEY", &"a".repeat(64));
    let list = || bare.kiln(&["image", "ls"]).output().unwrap();
    for damage in [
        |path: &Path| fs::write(path, "{").unwrap(),
        |path: &Path| mkfifo(path, Mode::S_IRWXU).unwrap(),
        |path: &Path| symlink("gone", path).unwrap(),
        |path: &Path| fs::create_dir(path).unwrap(),
    ] {
        let path = bare.write(&record, "");
        fs::remove_file(&path).unwrap();
        damage(&path);
        let output = list();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("image.json is damaged") && said.contains("it will be made anew"), "{said}");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
