//! The device as a whole, with a front end that does anything: it follows, or it ends and says why.

use std::{
    ffi::CStr,
    sync::{
        Condvar, Mutex,
        mpsc::{RecvTimeoutError, channel},
    },
    time::Duration,
};

use nix::libc;
use virtiofsd::{
    filesystem::{Context as Caller, Entry},
    read_dir::ReadDir,
};

use super::{
    super::{
        front_end::{Action, FrontEnd},
        hostile::{Case, Outcome, cases},
    },
    *,
};
use crate::process::passes_filter;

/// Longer than anything takes on a busy machine: what still runs then hangs.
const HANG: Duration = Duration::from_secs(60);

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;

/// A file system that has nothing: each call fails with ENOSYS.
struct Nothing;

impl FileSystem for Nothing {
    type Inode = u64;
    type Handle = u64;
    type DirIter = ReadDir<Vec<u8>>;
}

/// Starts the device; returns the front end, and where its end will be.
fn start<F: FileSystem + Send + Sync + 'static>(fs: F) -> (FrontEnd, Receiver<Result<(), String>>) {
    let (front_end, listener) = FrontEnd::new(HANG).expect("a connection");
    let (sender, end) = channel();
    thread::spawn(move || {
        let served = serve(fs, FsOptions::empty(), listener, 2).map_err(|error| format!("{error:#}"));
        // Best effort: a test that has failed receives nothing.
        let _ = sender.send(served);
    });
    (front_end, end)
}

/// What the device ended with.
fn end(ended: &Receiver<Result<(), String>>) -> Result<(), String> {
    match ended.recv_timeout(HANG) {
        Ok(end) => end,
        Err(RecvTimeoutError::Timeout) => Err("it hangs".into()),
        Err(RecvTimeoutError::Disconnected) => Err("it has crashed".into()),
    }
}

/// Plays a case; what is wrong with its end.
fn fault((_, actions, outcome): &Case) -> Option<String> {
    let (front_end, ended) = start(Nothing);
    // A device that ends reads no more.
    let _all = actions.iter().try_for_each(|action| front_end.play(action));
    let fault = match outcome {
        Outcome::Ends(why) => match end(&ended) {
            Err(error) => (!error.contains(why)).then_some(error),
            Ok(()) => Some("it ended without a fault".into()),
        },
        // Half a message leaves nothing to ask.
        Outcome::GoesOn if matches!(actions.last(), Some(Action::Bytes(_))) => None,
        Outcome::GoesOn => front_end.features().err().map(|_| format!("{:?}", end(&ended))),
        Outcome::Answers => match front_end.answer(1) {
            Ok(error) => (error >= 0).then(|| format!("it answered {error}")),
            Err(error) => Some(format!("{error}, {:?}", ended.try_recv())),
        },
    };
    drop(front_end);
    if fault.is_none() && !matches!(outcome, Outcome::Ends(_)) {
        // An end within a message is one, too.
        let _ended = end(&ended);
    }
    fault
}

#[test]
fn no_front_end_makes_it_crash_or_hang() {
    let faults = cases().into_iter().filter_map(|case| Some(format!("{}: {}", case.0, fault(&case)?)));
    assert_eq!(faults.collect::<Vec<_>>(), Vec::<String>::new());
}

/// A file system with a fault: it panics.
struct Panics;

impl FileSystem for Panics {
    type Inode = u64;
    type Handle = u64;
    type DirIter = ReadDir<Vec<u8>>;

    fn lookup(&self, _: Caller, _: u64, _: &CStr) -> io::Result<Entry> {
        panic!("a fault of the test");
    }
}

/// The process of [`a_panic_in_a_worker_ends_the_process_with_its_words`].
#[test]
#[ignore = "it ends the process that it runs in"]
fn a_device_whose_worker_panics() {
    super::super::log::install();
    let (front_end, ended) = start(Panics);
    let play = |action| front_end.play(&action).expect("it reads");
    play(Action::SetUp);
    play(Action::Request { queue: 1, opcode: LOOKUP, body: b"name\0".into(), index: 1 });
    play(Action::Kick(1));
    let _never = end(&ended);
}

#[test]
fn a_panic_in_a_worker_ends_the_process_with_its_words() {
    let this = std::env::current_exe().expect("it is known");
    let test = concat!(module_path!(), "::a_device_whose_worker_panics").trim_start_matches("kiln::");
    // 134 is SIGABRT. The test above is a success if the process lives on.
    let script = "words=$(\"$@\" 2>&1); test $? = 134 && echo \"$words\" | grep 'a fault of the test'";
    let this = this.to_str().expect("cargo's paths are text");
    let arguments = ["-c", script, "sh", this, "--ignored", "--exact", "--nocapture", test];
    assert!(passes_filter("sh", &arguments, b"").expect("it can be started"));
}

/// A file system in which a lookup waits until the test has seen what it wants to see.
struct Waits(std::sync::Arc<(Mutex<bool>, Condvar)>);

impl FileSystem for Waits {
    type Inode = u64;
    type Handle = u64;
    type DirIter = ReadDir<Vec<u8>>;

    fn lookup(&self, _: Caller, _: u64, _: &CStr) -> io::Result<Entry> {
        let (open, changed) = &*self.0;
        let waited = changed.wait_while(open.lock().expect("no panic"), |open| !*open);
        drop(waited.expect("no panic"));
        Err(io::Error::from_raw_os_error(libc::ENOENT))
    }
}

#[test]
fn a_call_that_hangs_in_one_queue_leaves_the_other_queues_at_work() {
    let gate = std::sync::Arc::new((Mutex::new(false), Condvar::new()));
    let (front_end, ended) = start(Waits(gate.clone()));
    let play = |action| front_end.play(&action).expect("it reads");
    play(Action::SetUp);
    play(Action::Request { queue: 1, opcode: LOOKUP, body: b"name\0".into(), index: 1 });
    play(Action::Kick(1));
    for queue in [2, 0] {
        play(Action::Request { queue, opcode: GETATTR, body: vec![0; 16], index: 1 });
        play(Action::Kick(queue));
        assert_eq!(front_end.answer(queue).expect("an answer"), -libc::ENOSYS);
    }
    assert!(!front_end.is_answered(1));
    *gate.0.lock().expect("no panic") = true;
    gate.1.notify_all();
    assert_eq!(front_end.answer(1).expect("an answer"), -libc::ENOENT);
    drop(front_end);
    assert_eq!(end(&ended), Ok(()));
}
