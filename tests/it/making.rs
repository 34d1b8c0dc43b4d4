//! The making of an image that is ended half-way: nothing of it is left, and the next kiln makes it.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::Stdio,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::Pid,
};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::{errors::Bare, orphans::reaper_of};

/// A maker that has written half of its image, and takes its time.
const SLOW: &str = "echo half >&3; echo maker $$; exec /bin/sleep 1000";

/// One that is done at once.
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

fn names(bare: &Bare, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(bare.at(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
