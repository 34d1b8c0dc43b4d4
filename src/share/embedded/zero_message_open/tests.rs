//! A guest without messages at open, on a file system that notes what is opened and closed.

use std::sync::Mutex;

use virtiofsd::read_dir::ReadDir;

use super::*;

/// Each inode can be opened; the handle of the n-th open is n.
#[derive(Default)]
struct Noting {
    calls: Mutex<Vec<String>>,
    /// How many opens fail for want of descriptors.
    failing: Mutex<usize>,
}

impl Noting {
    fn note(&self, call: String) {
        self.calls.lock().expect("no panic").push(call);
    }
}

impl FileSystem for Noting {
    type Inode = u64;
    type Handle = u64;
    type DirIter = ReadDir<Vec<u8>>;

    fn open(&self, _: Context, inode: u64, _: bool, flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        let mut failing = self.failing.lock().expect("no panic");
        if *failing > 0 {
            *failing -= 1;
            self.note(format!("no descriptor for {inode}"));
            return Err(io::Error::from_raw_os_error(libc::ENFILE));
        }
        let writable = flags.cast_signed() & libc::O_ACCMODE == libc::O_RDWR;
        self.note(format!("open {inode}{}", if writable { " to write" } else { "" }));
        Ok((Some(inode * 10 + u64::from(writable)), OpenOptions::empty()))
    }

    fn release(
        &self,
        _: Context,
        _: u64,
        _: u32,
        handle: u64,
        _: bool,
        _: bool,
        _: Option<u64>,
    ) -> io::Result<()> {
        self.note(format!("close {handle}"));
        Ok(())
    }

    fn fsync(&self, _: Context, _: u64, _: bool, handle: u64) -> io::Result<()> {
        self.note(format!("sync {handle}"));
        Ok(())
    }

    fn fallocate(&self, _: Context, _: u64, handle: u64, _: u32, _: u64, _: u64) -> io::Result<()> {
        self.note(format!("allocate {handle}"));
        Ok(())
    }

    fn getattr(&self, _: Context, _: u64, handle: Option<u64>) -> io::Result<(Attr, Duration)> {
        self.note(format!("attributes of {handle:?}"));
        Ok((Attr::default(), Duration::ZERO))
    }

    fn forget(&self, _: Context, inode: u64, _: u64) {
        self.note(format!("forget {inode}"));
    }

    fn destroy(&self) {
        self.note("destroy".into());
    }
}

fn ctx() -> Context {
    Context { uid: 0.into(), gid: 0.into(), pid: 1 }
}

/// A guest's handle of a file that it opened without a message.
const NONE: u64 = 0;

fn sync(fs: &ZeroMessageOpen<Noting>, inode: u64) {
    fs.fsync(ctx(), inode, false, NONE).expect("it can be opened");
}

fn allocate(fs: &ZeroMessageOpen<Noting>, inode: u64) {
    fs.fallocate(ctx(), inode, NONE, 0, 0, 1).expect("it can be opened");
}

fn calls(fs: &ZeroMessageOpen<Noting>) -> Vec<String> {
    std::mem::take(&mut *fs.fs.calls.lock().expect("no panic"))
}

#[test]
fn the_guest_is_told_to_send_no_open_create_or_flush() {
    let fs = ZeroMessageOpen::new(Noting::default(), 100);
    let error = |result: io::Result<()>| result.expect_err("no message").raw_os_error();
    let create = fs.create(ctx(), 1, c"a", 0, false, 0, 0, Extensions::default());
    let errors = [
        error(fs.open(ctx(), 1, false, 0).map(drop)),
        error(create.map(drop)),
        error(fs.flush(ctx(), 1, NONE, 0)),
    ];
    assert_eq!(errors, [Some(libc::ENOSYS); 3]);
    assert!(calls(&fs).is_empty());
}

#[test]
fn a_file_is_opened_when_it_is_used_and_once_more_when_it_is_first_written() {
    let fs = ZeroMessageOpen::new(Noting::default(), 100);
    sync(&fs, 3);
    sync(&fs, 3);
    allocate(&fs, 3);
    sync(&fs, 3);
    fs.getattr(ctx(), 3, Some(NONE)).expect("it has attributes");
    assert_eq!(
        calls(&fs),
        [
            "open 3",
            "sync 30",
            "sync 30",
            "open 3 to write",
            "close 30",
            "allocate 31",
            "sync 31",
            "attributes of None"
        ]
    );
}

#[test]
fn a_file_that_the_guest_forgets_is_closed_and_all_are_when_it_unmounts() {
    let fs = ZeroMessageOpen::new(Noting::default(), 100);
    sync(&fs, 3);
    allocate(&fs, 4);
    calls(&fs);
    fs.forget(ctx(), 3, 1);
    fs.destroy();
    assert_eq!(calls(&fs), ["close 30", "forget 3", "close 41", "destroy"]);
}

#[test]
fn those_that_were_not_used_for_longest_make_room() {
    // A quarter of the descriptors: four files.
    let fs = ZeroMessageOpen::new(Noting::default(), 16);
    (1..=4).for_each(|inode| sync(&fs, inode));
    sync(&fs, 1);
    calls(&fs);
    sync(&fs, 5);
    let mut closed = calls(&fs);
    closed.sort();
    assert_eq!(closed, ["close 20", "close 30", "close 40", "open 5", "sync 50"]);
    sync(&fs, 1);
    assert_eq!(calls(&fs), ["sync 10"]);
}

#[test]
fn without_descriptors_all_are_closed_and_it_is_tried_again_once() {
    let fs = ZeroMessageOpen::new(Noting::default(), 100);
    sync(&fs, 1);
    calls(&fs);
    *fs.fs.failing.lock().expect("no panic") = 1;
    sync(&fs, 2);
    assert_eq!(calls(&fs), ["no descriptor for 2", "close 10", "open 2", "sync 20"]);
    *fs.fs.failing.lock().expect("no panic") = 2;
    let error = fs.fsync(ctx(), 3, false, NONE).expect_err("twice none");
    assert_eq!(error.raw_os_error(), Some(libc::ENFILE));
}

#[test]
fn with_messages_the_files_are_the_guests() {
    let fs = ZeroMessageOpen::off(Noting::default());
    fs.open(ctx(), 7, false, libc::O_RDWR.cast_unsigned()).expect("it can be opened");
    fs.fsync(ctx(), 7, false, 71).expect("it is open");
    fs.getattr(ctx(), 7, Some(71)).expect("it has attributes");
    fs.forget(ctx(), 7, 1);
    assert_eq!(calls(&fs), ["open 7 to write", "sync 71", "attributes of Some(71)", "forget 7"]);
}
