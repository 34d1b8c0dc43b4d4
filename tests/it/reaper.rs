//! No process of a run survives its program, however that dies.
//!
//! A driver (this test binary once more) starts children that start others, which leave their group and session. The test
//! kills it. All of them hold the driver's standard output open, so its end of file is the end of the last of them.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::Pid,
};

use crate::process::{sh, spawner};

/// Where the driver is told what to have removed at the end.
const LEFT_BEHIND: &str = "KILN_TEST_LEFT_BEHIND";
/// The file below it that the driver locks, and has held for as long as anything of it lives.
const LOCK: &str = "lock";

/// Grandchildren of every kind: in the group, in a session of their own, and a daemon whose parents are gone.
const FAMILY: &str = "sleep 4321 & setsid sleep 4321 & (setsid sh -c 'sleep 4321 & setsid sleep 4321 &' &) ; echo started; wait";

/// Run by the tests below. It ends only by being killed.
#[tokio::test]
#[ignore = "not a test of its own"]
async fn driver() {
    let spawner = spawner();
    let _guard = std::env::var_os(LEFT_BEHIND).map(|path| spawner.remove_at_end(&PathBuf::from(path)));
    if let Some(path) = std::env::var_os(LEFT_BEHIND).map(|path| PathBuf::from(path).join(LOCK))
        && path.exists()
    {
        let file = fs::File::options().write(true).open(path).unwrap();
        assert!(lock(&file));
        spawner.hold(file.as_fd());
    }
    let mut children = Vec::new();
    loop {
        children.push(spawner.spawn(sh(FAMILY).stdout(kiln::process::Stdio::Inherit)).unwrap());
        if children.len() == 20 {
            std::future::pending::<()>().await;
        }
    }
}

fn drive(left_behind: &PathBuf) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reaper::driver", "--ignored", "--nocapture"])
        .env(LEFT_BEHIND, left_behind)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The reaper of `parent`.
pub(crate) fn reaper_of(parent: u32) -> Option<u32> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.split_whitespace().nth(1) == Some(&parent.to_string()))
            && arguments.contains("\0__reaper\0")
    })
}

#[test]
fn a_killed_program_leaves_neither_process_nor_file() {
    // So that the reaper, once an orphan, becomes a child of this process and can be waited for.
    set_child_subreaper(true).unwrap();
    for moment in [1, 2, 5, 19, 20] {
        let dir = tempfile::tempdir().unwrap();
        let left_behind = dir.path().join("run");
        fs::create_dir_all(left_behind.join("deep/er")).unwrap();
        fs::write(left_behind.join("deep/file"), "").unwrap();
        let mut driver = drive(&left_behind);
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let mut started = 0;
        while started < moment {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the driver ended by itself");
            started += usize::from(line.contains("started"));
        }
        let reaper = reaper_of(driver.id()).expect("the driver has a reaper");
        driver.kill().unwrap();
        driver.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        waitpid(Pid::from_raw(reaper.cast_signed()), None).unwrap();
        assert!(!left_behind.exists(), "killed after {moment} children");
    }
}

/// Locks a file, unless another one has it.
fn lock(file: &fs::File) -> bool {
    let whole = libc::flock {
        l_type: libc::F_WRLCK.try_into().unwrap(),
        l_whence: libc::SEEK_SET.try_into().unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole)).is_ok()
}

#[test]
fn what_is_to_be_held_is_held_until_nothing_of_the_program_lives() {
    set_child_subreaper(true).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(LOCK);
    fs::write(&path, "").unwrap();
    let mut driver = drive(&dir.path().to_owned());
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("started")));
    let file = fs::File::options().write(true).open(&path).unwrap();
    let reaper = Pid::from_raw(reaper_of(driver.id()).expect("the driver has a reaper").cast_signed());
    // A reaper that is slow to end the driver's processes.
    kill(reaper, Signal::SIGSTOP).unwrap();
    driver.kill().unwrap();
    driver.wait().unwrap();
    assert!(!lock(&file), "it is free while something of the driver lives");
    kill(reaper, Signal::SIGCONT).unwrap();
    waitpid(reaper, None).unwrap();
    assert!(lock(&file), "it is stale");
}

#[test]
fn a_killed_reaper_does_not_disturb() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = drive(&dir.path().join("none"));
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("started")));
    let reaper = reaper_of(driver.id()).expect("the driver has a reaper");
    kill(Pid::from_raw(reaper.cast_signed()), Signal::SIGKILL).unwrap();
    assert_eq!(lines.by_ref().filter(|line| line.contains("started")).take(5).count(), 5);
    let pid = driver.id();
    driver.kill().unwrap();
    driver.wait().unwrap();
    // The reaper is dead: the test ends the processes, by their exact ids.
    loop {
        let left = descendants_of(pid);
        if left.is_empty() {
            break;
        }
        for pid in left {
            // best effort: some die by themselves meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// All processes that carry the run id of `parent`'s children.
fn descendants_of(parent: u32) -> Vec<i32> {
    let carries = format!("KILN_RUN_ID={parent}-");
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable.starts_with(carries.as_bytes()))
    })
    .collect()
}
