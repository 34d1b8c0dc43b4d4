//! Children: their descriptors, ids, signals and ends.

use std::{
    fs,
    io::{Seek, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt, chown},
    },
    path::Path,
    time::Duration,
};

use kiln::{
    exit::{Code, code_of},
    process::{Command, ExitStatus, IdMap, OUTPUT_LIMIT_BYTES, Spawner, Stdio, user_namespaces_usable},
};
use nix::{sys::signal::Signal, unistd::geteuid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::skip::skip;

/// For programs that end at once: long enough for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn spawner() -> Spawner {
    Spawner::start_with(Path::new(env!("CARGO_BIN_EXE_kiln"))).unwrap()
}

pub(crate) fn sh(script: &str) -> Command {
    Command::new("/bin/sh").args(["-c", script])
}

pub(crate) async fn stdout(spawner: &Spawner, command: Command) -> String {
    let output = spawner.output(command, LIMIT).await.unwrap();
    assert_eq!(output.status, ExitStatus::Code(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A file without a name that holds `text`, to be read from its beginning.
fn file(text: &str) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file.into()
}

#[tokio::test]
async fn a_child_has_the_descriptors_that_it_was_given_and_no_others() {
    let spawner = spawner();
    let _other = file("not for the child");
    let script = "ls /proc/$$/fd; cat <&9; cat <&3; cat <&4";
    let command = sh(script).fd(file("three "), 3).fd(file("nine "), 9).fd(file("four"), 4);
    assert_eq!(stdout(&spawner, command).await, "0\n1\n2\n3\n4\n9\nnine three four");
}

#[tokio::test]
async fn what_is_withheld_is_in_no_environment_and_all_else_is() {
    // cargo sets both for a test.
    let (withheld, other) = ("CARGO_MANIFEST_DIR", "CARGO_PKG_NAME");
    let script = format!("tr '\\0' '\\n' </proc/$$/environ; echo ${{{withheld}-none}} ${{{other}-none}}");
    let all = spawner();
    assert!(stdout(&all, sh(&script)).await.contains(withheld));
    let spawner = spawner().withhold([withheld, "KILN_HAS_NO_SUCH_VARIABLE"]);
    let said = stdout(&spawner, sh(&script)).await;
    assert!(!said.contains(withheld) && said.ends_with("none kiln\n"), "{said}");
    let mut child = spawner.spawn(sh(&script).stdout(Stdio::Piped)).unwrap();
    let mut said = String::new();
    child.take_stdout().unwrap().read_to_string(&mut said).await.unwrap();
    assert!(!said.contains(withheld), "{said}");
    // A variable that the caller sets for a program is passed on.
    let said = stdout(&spawner, sh(&script).env(withheld, "given")).await;
    assert!(said.ends_with("given kiln\n"), "{said}");
}

#[tokio::test]
async fn descriptors_may_change_places() {
    let spawner = spawner();
    let (first, second) = (file("first "), file("second"));
    let (one, other) = (first.as_raw_fd(), second.as_raw_fd());
    let script = format!("cat /proc/self/fd/{other} /proc/self/fd/{one}");
    let command = sh(&script).fd(first, other).fd(second, one);
    assert_eq!(stdout(&spawner, command).await, "first second");
}

#[tokio::test]
async fn a_descriptor_number_that_cannot_be_is_an_error() {
    let spawner = spawner();
    for command in [sh(":").fd(file(""), 2), sh(":").fd(file(""), 5).fd(file(""), 5)] {
        assert!(spawner.spawn(command).is_err());
    }
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let spawner = spawner();
    let error = spawner.spawn(Command::new("kiln-has-no-such-program")).unwrap_err();
    assert_eq!(code_of(&error), Code::Host);
    assert!(error.to_string().contains("kiln-has-no-such-program"), "{error}");
    let error = spawner.spawn(sh(":").current_dir("/no/such/directory")).unwrap_err();
    assert_eq!(code_of(&error), Code::Defect);
}

#[tokio::test]
async fn the_environment_is_what_was_asked_for() {
    let spawner = spawner();
    let command = Command::new("/usr/bin/env").clear_env().env("A", "1 2");
    let text = stdout(&spawner, command).await;
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("KILN_RUN_ID=")).collect();
    assert_eq!(lines, ["A=1 2"]);
}

#[tokio::test]
async fn how_it_ended_is_a_code_or_a_signal() {
    let spawner = spawner();
    for (script, status) in [("exit 7", ExitStatus::Code(7)), ("kill -9 $$", ExitStatus::Signal(9))] {
        assert_eq!(spawner.spawn(sh(script)).unwrap().wait().await.unwrap(), status);
    }
}

#[tokio::test]
async fn signals_are_as_at_the_start_of_a_session() {
    let spawner = spawner();
    let script = "grep -E 'SigBlk|SigIgn' /proc/self/status; cut -d' ' -f6 /proc/$$/stat; echo $$";
    let text = stdout(&spawner, sh(script)).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "SigBlk:\t0000000000000000");
    let ignored = u64::from_str_radix(lines[1].split_whitespace().nth(1).unwrap(), 16).unwrap();
    // Signals 32 and 33 are the C library's own, and it does not let them be touched.
    assert_eq!(ignored & !(0b11 << 31), 0, "{ignored:x}");
    assert_eq!(lines[2], lines[3], "the child leads its session");
}

#[tokio::test]
async fn stop_asks_before_it_kills() {
    let spawner = spawner();
    for (script, grace, status) in [
        ("trap 'exit 3' TERM; echo; while :; do sleep 1; done", LIMIT, ExitStatus::Code(3)),
        (
            "trap '' TERM; echo; while :; do sleep 1; done",
            Duration::ZERO,
            ExitStatus::Signal(Signal::SIGKILL as i32),
        ),
    ] {
        let mut child = spawner.spawn(sh(script).stdout(Stdio::Piped)).unwrap();
        let mut line = String::new();
        BufReader::new(child.take_stdout().unwrap()).read_line(&mut line).await.unwrap();
        assert_eq!(child.stop(grace).await.unwrap(), status);
        assert_eq!(child.wait().await.unwrap(), status, "asked again");
    }
}

#[tokio::test]
async fn what_a_child_leaves_in_its_group_ends_with_it() {
    let spawner = spawner();
    // The pipe reaches its end only when the sleeper is gone.
    assert_eq!(stdout(&spawner, sh("sleep 1000 & echo done")).await, "done\n");
}

#[tokio::test]
async fn a_child_that_is_dropped_is_killed() {
    let spawner = spawner();
    let mut child = spawner.spawn(sh("echo; sleep 1000").stdout(Stdio::Piped)).unwrap();
    let mut lines = BufReader::new(child.take_stdout().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "");
    drop(child);
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn output_is_bounded_in_time_and_size() {
    let spawner = spawner();
    let error = spawner.output(sh("sleep 1000"), Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(code_of(&error), Code::Timeout);
    let error = spawner.output(sh("cat /dev/zero"), LIMIT).await.unwrap_err();
    assert!(format!("{error:#}").contains(&OUTPUT_LIMIT_BYTES.to_string()), "{error:#}");
    let talk = "head -c 1000000 /dev/zero >&2; echo last words >&2";
    let output = spawner.output(sh(talk), LIMIT).await.unwrap();
    assert!(output.stderr.ends_with(b"last words\n"));
    assert_eq!(output.stderr.len(), kiln::process::STDERR_LIMIT_BYTES);
}

/// In a namespace as the step's user: files of the invoking user are 1000's, and what it makes is the invoking user's.
async fn files_change_owner(spawner: &Spawner, dir: &Path) {
    let ids = IdMap::appearing_as(1000, 1000).unwrap().unwrap();
    fs::write(dir.join("mine"), "text").unwrap();
    fs::set_permissions(dir.join("mine"), fs::Permissions::from_mode(0o600)).unwrap();
    let script = "id -u; id -g; stat -c %u:%g mine; cat mine; touch new";
    let text = stdout(spawner, sh(script).current_dir(dir).user_namespace(ids)).await;
    assert_eq!(text, "1000\n1000\n1000:1000\ntext");
    let new = fs::metadata(dir.join("new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (geteuid().as_raw(), nix::unistd::getegid().as_raw()));
}

#[tokio::test]
async fn a_user_namespace_changes_the_owner_of_files() {
    if let Err(why) = user_namespaces_usable() {
        return skip(&why);
    }
    let dir = tempfile::tempdir().unwrap();
    files_change_owner(&spawner(), dir.path()).await;
}

#[tokio::test]
async fn roots_namespace_still_reads_what_others_own_but_does_not_write_it() {
    if !geteuid().is_root() {
        return skip("only root can map several ids");
    }
    let dir = tempfile::tempdir().unwrap();
    let theirs = dir.path().join("theirs");
    fs::write(&theirs, "secret").unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&theirs, Some(65534), Some(65534)).unwrap();
    let ids = IdMap::swap(1000, 1000).unwrap();
    let script = "stat -c %u theirs; cat theirs; (: >theirs) || echo refused";
    let text = stdout(
        &spawner(),
        sh(&format!("({script}) 2>/dev/null")).current_dir(dir.path()).user_namespace(ids),
    )
    .await;
    assert_eq!(text, "65534\nsecretrefused\n");
}

#[tokio::test]
async fn all_rights_of_a_namespace_let_it_write_and_give_away() {
    if !geteuid().is_root() {
        return skip("only root can map several ids");
    }
    let dir = tempfile::tempdir().unwrap();
    let theirs = dir.path().join("theirs");
    fs::write(&theirs, "").unwrap();
    chown(&theirs, Some(65534), Some(65534)).unwrap();
    let ids = IdMap::swap(1000, 1000).unwrap().with_all_rights();
    let script = "id -u; echo text >theirs; touch new; chown 1234:1234 new; unshare -m true && echo mounts";
    let text = stdout(&spawner(), sh(script).current_dir(dir.path()).user_namespace(ids)).await;
    assert_eq!(text, "1000\nmounts\n");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "text\n");
    assert_eq!(fs::metadata(dir.path().join("new")).unwrap().uid(), 1234);
}

/// Where the next test has put a kiln for the one that it runs.
const REACHABLE: &str = "KILN_TEST_REACHABLE";

/// Run by the next test, as another user.
#[tokio::test]
#[ignore = "not a test of its own"]
async fn as_an_ordinary_user() {
    let dir = tempfile::tempdir().unwrap();
    let kiln = std::env::var_os(REACHABLE).unwrap();
    files_change_owner(&Spawner::start_with(Path::new(&kiln)).unwrap(), dir.path()).await;
}

#[tokio::test]
async fn an_ordinary_user_can_have_one_id_mapped() {
    if !geteuid().is_root() {
        return skip("the tests run as an ordinary user already");
    }
    // Root's working tree may lie where other users cannot reach it.
    let reachable = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(reachable.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (me, kiln) = (reachable.path().join("tests"), reachable.path().join("kiln"));
    fs::copy(std::env::current_exe().unwrap(), &me).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_kiln"), &kiln).unwrap();
    let command = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(me)
        .args(["--exact", "process::as_an_ordinary_user", "--ignored", "--nocapture"])
        .env(REACHABLE, kiln)
        .env("TMPDIR", "/tmp");
    let text = stdout(&spawner(), command).await;
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn a_reaper_that_neither_reads_nor_ends_is_not_waited_for_without_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("reaper");
    fs::write(&program, "#!/bin/sh\necho $$ >\"$0.pid\"\nexec sleep 60\n").unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let spawner = Spawner::start_with(&program).unwrap();
    // More than the socket holds: each of them would wait, and those of a child's between fork and exec.
    for number in 0..2000 {
        spawner.remove_at_end(&dir.path().join(number.to_string()));
    }
    for _ in 0..5 {
        assert_eq!(stdout(&spawner, sh("echo there")).await, "there\n");
    }
    spawner.finish().unwrap();
    let pid = fs::read_to_string(dir.path().join("reaper.pid")).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    assert!(status.contains("State:\tS"), "its end was waited for: {status}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
}
