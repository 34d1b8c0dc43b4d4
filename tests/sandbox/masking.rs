//! Secrets in the output of steps: masked in each kind of report and in the logs.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use data_encoding::{BASE64, HEXLOWER};

use super::{command, has_bwrap, home, project, pty::Person, said};

/// One with all kinds of characters; its halves are cut from it below.
const SECRET: &str = "s3cr3t-T0ken/+Val-ABC";

/// Says it in all ways in which tools do, by accident.
const SAY: &str = include_str!("masking.sh");

/// The text on a terminal: without sequences and control characters, and without overwritten letters.
fn seen(text: &str) -> String {
    let mut bytes = text.as_bytes();
    let mut seen = Vec::new();
    while let Some(&byte) = bytes.first() {
        use kiln::control::{Sequence, sequence};
        let length = match sequence(bytes) {
            Sequence::Colour(length) | Sequence::Other(length) => length,
            Sequence::Open | Sequence::None => {
                if byte >= b' ' || byte == b'\n' {
                    seen.push(byte);
                }
                1
            }
        };
        bytes = &bytes[length..];
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// No report or log may show more than a few letters of it, in a row or in any encoding.
#[track_caller]
fn assert_masked(what: &str, text: &str) {
    let hex = HEXLOWER.encode(SECRET.as_bytes());
    let base64 = ["", "a", "ab"].map(|before| BASE64.encode(format!("{before}{SECRET}").as_bytes()));
    let in_url = SECRET.replace('-', "%2D").replace('/', "%2F").replace('+', "%2B");
    let forms = [SECRET.into(), hex.clone(), hex.to_uppercase(), in_url.to_lowercase(), in_url];
    let texts = [text.to_owned(), seen(text), seen(text).replace(['\n', '\r'], "")];
    for form in forms.iter().chain(&base64) {
        // Half of it, wherever that begins; and of base64 what is not that of another text.
        let half = form.len().div_ceil(2);
        for from in 2..=form.len() - half {
            let part = &form[from..from + half];
            for text in &texts {
                assert!(!text.contains(part), "{what} shows {part} of {form}:\n{text}");
            }
        }
    }
    assert!(text.contains("***"), "{what}: {text}");
    for number in 1..=25 {
        assert!(texts[0].contains(&format!("<{number}>")), "{what}: all else is shown: {number}\n{text}");
    }
}

#[test]
fn no_report_or_log_shows_a_secret_however_a_step_prints_it() {
    if !has_bwrap() {
        return;
    }
    let (directory, project) = project();
    let home = home(directory.path().join("home"));
    let file = directory.path().join("token");
    fs::write(&file, format!("{SECRET}\n")).expect("written");
    let secret = format!("--secret=id=tok,src={}", file.display());
    let build = |progress: &str| {
        let more = ["--progress", progress, &secret];
        let mut command = command(&project, "root", &[SAY], &more);
        command.env("KILN_HOME", &home);
        command
    };
    for progress in ["plain", "json"] {
        let output = build(progress).output().expect("kiln can be started");
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        let text = if progress == "json" { texts(&output.stdout) } else { said(&output) };
        assert_masked(progress, &text);
    }
    let (shown, status) = Person::at(&build("tty")).waits();
    assert_eq!(status.code(), Some(5), "{shown}");
    assert_masked("tty", &shown);
    let mut count = 0;
    for build in fs::read_dir(home.join("logs")).expect("listed") {
        let log = fs::read(build.expect("there").path().join("output.log")).expect("there");
        assert_masked("output.log", &String::from_utf8_lossy(&log));
        count += 1;
    }
    assert_eq!(count, 3);
    assert_nowhere(&home.join("logs"));
}

/// The texts of all events, in their order.
fn texts(events: &[u8]) -> String {
    let events = String::from_utf8_lossy(events);
    let events = events.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    events
        .filter(|event| event["event"] == "output")
        .filter_map(|event| Some(event["text"].as_str()?.to_owned()))
        .collect()
}

fn assert_nowhere(directory: &Path) {
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("there").path();
        if path.is_dir() {
            assert_nowhere(&path);
        } else {
            let text = fs::read(&path).expect("there");
            assert!(!String::from_utf8_lossy(&text).contains(SECRET), "{}", path.display());
        }
    }
}

#[test]
fn no_program_that_kiln_starts_inherits_a_secret() {
    if !has_bwrap() {
        return;
    }
    let (directory, project) = project();
    let (tools, seen) = (directory.path().join("tools"), directory.path().join("seen"));
    fs::create_dir(&tools).and_then(|()| fs::create_dir(&seen)).expect("made");
    // Whatever kiln may start: each notes its environment, and does what it is there for.
    let programs = [
        "bwrap",
        "docker",
        "qemu-system-x86_64",
        "virtiofsd",
        "mmdebstrap",
        "mkfs.erofs",
        "fsck.erofs",
        "mke2fs",
        "unshare",
        "modprobe",
        "bash",
        "env",
        "git",
        "curl",
        "newuidmap",
        "newgidmap",
    ];
    for program in programs {
        let script = format!(
            "#!/bin/sh\ntr '\\0' '\\n' </proc/$$/environ >'{}/{program}'.$$\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nexec {program} \"$@\"\n",
            seen.display()
        );
        // The image is not under test here.
        let script = if program == "docker" { script.replace("exec docker", "exec false") } else { script };
        let path = tools.join(program);
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    }
    let image = directory.path().join("image");
    fs::create_dir_all(image.join("bin")).expect("made");
    let home = directory.path().join("home");
    let path = std::env::var("PATH").expect("there is one");
    let secrets = ["--secret", "id=token,env=THE_TOKEN", "--secret", "id=OTHER"];
    for runner in ["bubblewrap", "docker", "qemu"] {
        // The image has no shell: whatever can be started before that is known has been.
        let more = ["--image", image.to_str().expect("UTF-8"), "--timeout", "20s"];
        command(&project, "root", &["true"], &[]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command
            .current_dir(&project)
            .args(["build", "--runner", runner, "--progress", "plain"])
            .args(secrets)
            .args(more);
        command.arg("file.yaml").env("QEMU_DISKS_PATH", super::scratch(&project));
        command.env("PATH", format!("{}:{path}", tools.display())).env("KILN_HOME", &home);
        command.env("THE_TOKEN", SECRET).env("OTHER", SECRET);
        let output = command.output().expect("kiln can be started");
        assert!(!output.status.success(), "{runner}");
        assert!(!said(&output).contains("panicked"), "{runner}: {}", said(&output));
    }
    let mut started = Vec::new();
    for entry in fs::read_dir(&seen).expect("listed") {
        let path = entry.expect("there").path();
        let environment = fs::read_to_string(&path).expect("text");
        assert!(!environment.contains(SECRET), "{}: {environment}", path.display());
        started.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    for program in ["mkfs", "bwrap", "docker"] {
        assert!(started.iter().any(|name| name.starts_with(program)), "{program}: {started:?}");
    }
}
