//! The logs of a build with much output, and of one on a full disk.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{command, has_bwrap, home, project, said, skip};

fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size(&entry.path()),
            _ => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

#[test]
fn the_logs_of_a_build_that_says_much_have_its_beginning_and_its_end() {
    if !has_bwrap() {
        return;
    }
    let (directory, project) = project();
    let home = home(directory.path().join("home"));
    let steps = [
        "echo the beginning; (yes $(seq 300) || :) | head -c 18000000; echo the end",
        // Of this only memory could be used up.
        "head -c 12000000 /dev/zero | tr '\\0' x; echo; echo after the long line",
    ];
    for progress in ["plain", "json", "tty"] {
        let mut command = command(&project, "root", &steps, &["--progress", progress]);
        let output = command.env("KILN_HOME", &home).output().expect("kiln can be started");
        assert!(output.status.success(), "{progress}");
        let all = if progress == "json" { output.stdout.len() } else { output.stderr.len() };
        assert!(all > 30_000_000, "the display is not cut: {all}");
        let logs = fs::read_dir(home.join("logs")).expect("listed").map(|entry| entry.expect("there").path());
        let logs = logs.max().expect("the build has logs");
        let log = fs::read_to_string(logs.join("output.log")).expect("text");
        assert!(log.starts_with("==> step 1 (") && log.contains("the beginning\n"), "{progress}");
        assert!(log.contains("left out here\n"), "{progress}");
        assert!(log.contains("after the long line\n"), "{progress}");
        assert!(size(&logs) < 17 << 20, "{progress}: {}", size(&logs));
    }
}

/// A small file system, for as long as this is there.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).expect("made");
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

#[test]
fn a_build_in_a_full_home_succeeds_and_a_commit_says_what_is_full() {
    if !has_bwrap() {
        return;
    }
    let (directory, project) = project();
    let Some(small) = Small::mount(directory.path().join("small"), "4m") else {
        return skip("a tmpfs cannot be mounted");
    };
    let home = home(small.0.join("home"));
    // Directories that are made once exist.
    let build = |mode: &str, steps: &[&str]| {
        let more = ["--progress", "plain", "--cache-mode", mode];
        let mut command = command(&project, "root", steps, &more);
        command.env("KILN_HOME", &home).output().expect("kiln can be started")
    };
    let write = "mkdir -p /var/cache/melange/pip; echo new > /var/cache/melange/pip/$RANDOM";
    let noisy = format!("{write}; (yes $(seq 300) || :) | head -c 20000000");
    let output = build("commit", &[&noisy]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{}", &text[text.len().saturating_sub(3000)..]);
    assert!(text.contains("this log is incomplete"), "it says so");
    assert_eq!(fs::read_dir(project.join("cache/pip")).expect("it was kept").count(), 1);
    // Now there is no room at all, until the old log is taken away.
    let filler = small.0.join("filler");
    drop(fs::copy("/dev/zero", &filler));
    for mode in ["rw", "discard"] {
        let output = build(mode, &[write]);
        assert!([Some(0), Some(4)].contains(&output.status.code()), "{mode}: {}", said(&output));
        if output.status.code() == Some(4) {
            assert!(said(&output).contains(&home.display().to_string()), "{mode}: {}", said(&output));
        }
    }
    let output = build("commit", &[write]);
    let text = said(&output);
    assert!(output.status.success() || text.contains(&home.display().to_string()), "{text}");
    assert!(matches!(output.status.code(), Some(0 | 4 | 7)), "{text}");
}
