//! Any actions of a front end, and of the guest behind it, on the virtiofs device: it follows or ends, in bounded time, and
//! nothing outside the directory that it serves is touched.
#![no_main]

#[path = "../../src/share/embedded/front_end.rs"]
#[expect(dead_code, reason = "the tests of the device use the rest")]
mod front_end;

use std::{
    fs,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread::{sleep, spawn},
    time::Duration,
};

use kiln::share::{Caching, Directory, Owner, embedded::serve_unconfined};
use kiln_protocol::Access;
use libfuzzer_sys::fuzz_target;
use nix::{
    libc,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use front_end::{Action, FrontEnd};

/// The most actions of an input.
const ACTIONS: usize = 64;
/// How long a front end waits for a reply: a device that waits for the rest of a message gives none.
const PATIENCE: Duration = Duration::from_millis(20);
/// Descriptors for the guest: few, so that their end is reached.
const DESCRIPTORS: u64 = 16;
const VICTIM: &[u8] = b"untouched";

/// A directory with one to serve, and with a file that nothing may change. Root has it in a small file system, since a guest
/// may fill it.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        // As in each program of Rust: writing to a closed connection is an error.
        // SAFETY: it sets no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let scratch = tempfile::tempdir().expect("a scratch directory").keep();
        if unshare(CloneFlags::CLONE_NEWNS).is_ok() {
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
            mount(Some("fuzz"), &scratch, Some("tmpfs"), MsFlags::empty(), Some("size=16m,nr_inodes=4k")).expect("mounted");
        }
        fs::write(scratch.join("victim"), VICTIM).expect("written");
        scratch
    })
}

fn actions(mut bytes: &[u8]) -> Vec<Action> {
    let mut actions = Vec::new();
    while actions.len() < ACTIONS
        && let Ok((action, rest)) = postcard::take_from_bytes(bytes)
    {
        actions.push(action);
        bytes = rest;
    }
    actions
}

/// The kernel's count: a listing of threads may leave one out while another one ends.
fn threads() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    count.and_then(|count| count.trim().parse().ok()).expect("a number of threads")
}

fuzz_target!(|bytes: &[u8]| {
    let scratch = scratch();
    let shared = scratch.join("shared");
    fs::create_dir(&shared).expect("made");
    let actions = actions(bytes);
    let before = threads();
    // The first descriptor that this input opens.
    let first = fs::File::open("/").expect("opened").as_raw_fd();
    let (front_end, listener) = FrontEnd::new(PATIENCE).expect("a connection");
    let directory = Directory { path: shared.clone(), access: Access::ReadWrite, caching: Caching::Alone, inside: (1000, 1000) };
    let owner = Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() };
    let device = spawn(move || {
        // An error is a reason to end, which it has said.
        let _end = serve_unconfined(&directory, owner, listener, u32::from(front_end::QUEUES) - 1, DESCRIPTORS);
    });
    // A device that has ended reads no more.
    let _all = actions.iter().try_for_each(|action| front_end.play(action));
    drop(front_end);
    device.join().expect("no panic");
    while threads() > before {
        sleep(Duration::from_micros(100));
    }
    // vhost-user-backend leaves the descriptor open by which it is told to end.
    // SAFETY: nothing that this input has not opened lies from `first` on, and its threads have ended.
    unsafe { libc::close_range(first.unsigned_abs(), libc::c_uint::MAX, 0) };
    fs::remove_dir_all(&shared).expect("removed");
    let left: Vec<_> = fs::read_dir(scratch).expect("listed").map(|entry| entry.expect("listed").file_name()).collect();
    assert_eq!(left, ["victim"]);
    assert_eq!(fs::read(scratch.join("victim")).expect("it is there"), VICTIM);
});
