//! A program that is stopped at each of its system calls, and then goes on, dies, or gets an error from the call.
//!
//! It is this test binary once more, running one ignored test, whose thread has itself traced: what libtest does around it
//! is not counted. kiln has no code for it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace,
        signal::{Signal, raise},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::fixture::Fixture;

/// Where the tracee works.
const SCENE: &str = "KILN_TEST_SCENE";
/// How a line begins that is for the tracer.
const SAYS: &str = "victim: ";

/// The action at a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It is made.
    Go,
    /// It is not made: the program dies first.
    Kill,
    /// It is not made, and this is the answer.
    Fail(Errno),
}

/// How a traced run ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// How many system calls there were.
    pub(super) calls: usize,
    /// Its output.
    pub(super) said: Vec<String>,
    /// Whether it was killed.
    pub(super) killed: bool,
}

/// Runs the ignored test `name` on a fixture; `act` is asked at each system call, which are counted from 1. How many there are
/// need not be the same each time.
///
/// # Panics
/// When the tracee does: whatever it is told, it ends in order.
pub(super) fn run(name: &str, fixture: &Fixture, mut act: impl FnMut(Call) -> Act) -> End {
    let told = fixture.root().join("stderr");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env(SCENE, fixture.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&told).unwrap())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut end = End::default();
    // Of all children of this process only those of this thread: other tests have theirs.
    let any = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let tracee = match waitpid(None, Some(any)).unwrap() {
        WaitStatus::Stopped(tracee, Signal::SIGSTOP) => tracee,
        other => panic!("{name} ended before it was traced: {other:?}"),
    };
    ptrace::setoptions(tracee, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
    while next(tracee) == Stop::Call {
        end.calls += 1;
        match act(Call { number: end.calls, tracee }) {
            Act::Go => {}
            Act::Kill => {
                end.killed = true;
                ptrace::kill(tracee).unwrap();
            }
            Act::Fail(errno) => {
                fail(tracee, errno);
                continue;
            }
        }
        if next(tracee) == Stop::End {
            break;
        }
    }
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    let told = fs::read_to_string(told).unwrap();
    assert!(end.killed || status.success(), "{name}: {status}, {text}{told}");
    let lines = text.as_bytes().lines().map(Result::unwrap);
    end.said = lines.filter_map(|line| line.split_once(SAYS).map(|(_, said)| said.to_owned())).collect();
    end
}

/// Where a tracee stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Before a system call or, every second time, after it.
    Call,
    /// It has ended.
    End,
}

/// Lets it go on to the next stop.
fn next(tracee: Pid) -> Stop {
    let mut signal = None;
    loop {
        match ptrace::syscall(tracee, signal) {
            Ok(()) => {}
            // It has been killed meanwhile.
            Err(Errno::ESRCH) => {}
            Err(error) => panic!("{error}"),
        }
        match waitpid(tracee, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceSyscall(_) => return Stop::Call,
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Stop::End,
            other => panic!("{other:?}"),
        }
    }
}

/// A system call that is about to be made.
pub(super) struct Call {
    /// The how manieth it is.
    pub(super) number: usize,
    tracee: Pid,
}

/// Whether system calls can be made to fail here: it is known which registers hold them.
pub(super) const CAN_FAIL: bool = cfg!(target_arch = "x86_64");

#[cfg(target_arch = "x86_64")]
impl Call {
    /// Whether a file system answers the call; the other calls only move memory or wait.
    pub(super) fn is_about_files(&self) -> bool {
        let number = ptrace::getregs(self.tracee).unwrap().orig_rax;
        FILES.contains(&number.cast_signed())
    }
}

#[cfg(target_arch = "x86_64")]
const FILES: [libc::c_long; 24] = [
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmod,
    libc::SYS_utimensat,
    libc::SYS_fsync,
    libc::SYS_syncfs,
    libc::SYS_getdents64,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_fcntl,
];

/// Has the system call before which it stands not be made, and fail.
#[cfg(target_arch = "x86_64")]
fn fail(tracee: Pid, errno: Errno) {
    let mut registers = ptrace::getregs(tracee).unwrap();
    registers.orig_rax = u64::MAX;
    ptrace::setregs(tracee, registers).unwrap();
    assert_eq!(next(tracee), Stop::Call);
    let mut registers = ptrace::getregs(tracee).unwrap();
    registers.rax = (-i64::from(errno as i32)).cast_unsigned();
    ptrace::setregs(tracee, registers).unwrap();
}

#[cfg(not(target_arch = "x86_64"))]
impl Call {
    pub(super) fn is_about_files(&self) -> bool {
        unreachable!("no test has calls fail on this machine")
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fail(tracee: Pid, errno: Errno) {
    unreachable!("no test has a call of {tracee} fail with {errno} here")
}

/// In the tracee: does `work` on the fixture that the tracer named, being traced.
pub(super) fn traced(work: impl FnOnce(&Fixture)) {
    let fixture = Fixture::of(std::env::var_os(SCENE).expect("only the tracer runs this").into());
    ptrace::traceme().unwrap();
    raise(Signal::SIGSTOP).unwrap();
    work(&fixture);
}

/// In the tracee: tells the tracer.
pub(super) fn say(text: &str) {
    let line = format!("\n{SAYS}{text}\n");
    // One system call, past the buffers of libtest: said or not. It may be the one that is refused, once.
    let say = || nix::unistd::write(std::io::stdout(), line.as_bytes());
    say().or_else(|_| say()).unwrap();
}
