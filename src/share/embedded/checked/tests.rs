//! Names that leave a directory, and descriptors that run short, on file systems of the tests.

use super::*;

/// A file system that takes any name: each call that has one fails with [`WILLING`].
struct Willing;

const WILLING: i32 = libc::EXDEV;

fn willing<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(WILLING))
}

impl FileSystem for Willing {
    type Inode = u64;
    type Handle = u64;
    type DirIter = virtiofsd::read_dir::ReadDir<Vec<u8>>;

    fn lookup(&self, _: Context, _: u64, _: &CStr) -> io::Result<Entry> {
        willing()
    }
    fn symlink(&self, _: Context, _: &CStr, _: u64, _: &CStr, extensions: Extensions) -> io::Result<Entry> {
        assert!(extensions.sup_gids.is_empty());
        willing()
    }
    fn mknod(
        &self,
        _: Context,
        _: u64,
        _: &CStr,
        _: u32,
        _: u32,
        _: u32,
        _: Extensions,
    ) -> io::Result<Entry> {
        willing()
    }
    fn mkdir(&self, _: Context, _: u64, _: &CStr, _: u32, _: u32, _: Extensions) -> io::Result<Entry> {
        willing()
    }
    fn unlink(&self, _: Context, _: u64, _: &CStr) -> io::Result<()> {
        willing()
    }
    fn rmdir(&self, _: Context, _: u64, _: &CStr) -> io::Result<()> {
        willing()
    }
    fn rename(&self, _: Context, _: u64, _: &CStr, _: u64, _: &CStr, _: u32) -> io::Result<()> {
        willing()
    }
    fn link(&self, _: Context, _: u64, _: u64, _: &CStr) -> io::Result<Entry> {
        willing()
    }
    fn create(
        &self,
        _: Context,
        _: u64,
        _: &CStr,
        _: u32,
        _: bool,
        flags: u32,
        _: u32,
        _: Extensions,
    ) -> io::Result<(Entry, Option<u64>, OpenOptions)> {
        assert_eq!(flags.cast_signed(), libc::O_RDWR | libc::O_TRUNC);
        willing()
    }
}

/// The error number of each call that takes a name.
fn errors(name: &CStr) -> Vec<(&'static str, Option<i32>)> {
    let fs = Checked::new(Willing, 100);
    let ctx = Context { uid: 0.into(), gid: 0.into(), pid: 1 };
    let error = |result: io::Result<()>| result.expect_err("none succeeds").raw_os_error();
    let extensions = || Extensions { sup_gids: vec![7.into()], ..Extensions::default() };
    let (dir, good) = (1, c"good");
    let write_only = (libc::O_WRONLY | libc::O_TRUNC).cast_unsigned();
    vec![
        ("lookup", error(fs.lookup(ctx, dir, name).map(drop))),
        ("symlink", error(fs.symlink(ctx, c"../../etc", dir, name, extensions()).map(drop))),
        ("mknod", error(fs.mknod(ctx, dir, name, 0, 0, 0, extensions()).map(drop))),
        ("mkdir", error(fs.mkdir(ctx, dir, name, 0, 0, extensions()).map(drop))),
        ("unlink", error(fs.unlink(ctx, dir, name))),
        ("rmdir", error(fs.rmdir(ctx, dir, name))),
        ("rename from", error(fs.rename(ctx, dir, name, dir, good, 0))),
        ("rename to", error(fs.rename(ctx, dir, good, dir, name, 0))),
        ("link", error(fs.link(ctx, 2, dir, name).map(drop))),
        ("create", error(fs.create(ctx, dir, name, 0, false, write_only, 0, extensions()).map(drop))),
    ]
}

#[test]
fn a_name_that_leaves_its_directory_reaches_no_call() {
    for name in [c"", c".", c"..", c"/", c"../evil", c"a/b", c"/etc/passwd", c"a/", c"./a"] {
        for (call, error) in errors(name) {
            assert_eq!(error, Some(libc::EINVAL), "{call} {name:?}");
        }
    }
}

#[test]
fn a_file_that_is_created_can_be_read_by_the_device() {
    let flags = [libc::O_WRONLY, libc::O_RDWR, libc::O_RDONLY].map(|mode| mode | libc::O_EXCL);
    let readable = flags.map(|flags| readable(flags.cast_unsigned()).cast_signed());
    assert_eq!(readable, [libc::O_RDWR, libc::O_RDWR, libc::O_RDONLY].map(|mode| mode | libc::O_EXCL));
}

#[test]
fn an_ordinary_name_reaches_each_call() {
    for name in [c"a", c"...", c"..a", c"a..", c".git", c" ", c"\xff\n"] {
        for (call, error) in errors(name) {
            assert_eq!(error, Some(WILLING), "{call} {name:?}");
        }
    }
}

/// A file system in which each name is a file of its own: `n` is the file `n`, and opening it works.
struct Numbered;

const DAY: Duration = Duration::from_secs(86_400);

fn numbered(name: &CStr) -> io::Result<Entry> {
    let inode = name.to_str().expect("a number").parse().expect("a number");
    Ok(Entry { inode, generation: 0, attr: Attr::default(), attr_timeout: DAY, entry_timeout: DAY })
}

impl FileSystem for Numbered {
    type Inode = u64;
    type Handle = u64;
    type DirIter = virtiofsd::read_dir::ReadDir<Vec<u8>>;

    fn lookup(&self, _: Context, _: u64, name: &CStr) -> io::Result<Entry> {
        numbered(name)
    }
    fn symlink(&self, _: Context, _: &CStr, _: u64, name: &CStr, _: Extensions) -> io::Result<Entry> {
        numbered(name)
    }
    fn mknod(
        &self,
        _: Context,
        _: u64,
        name: &CStr,
        _: u32,
        _: u32,
        _: u32,
        _: Extensions,
    ) -> io::Result<Entry> {
        numbered(name)
    }
    fn mkdir(&self, _: Context, _: u64, name: &CStr, _: u32, _: u32, _: Extensions) -> io::Result<Entry> {
        numbered(name)
    }
    fn link(&self, _: Context, _: u64, _: u64, name: &CStr) -> io::Result<Entry> {
        numbered(name)
    }
    fn create(
        &self,
        _: Context,
        _: u64,
        name: &CStr,
        _: u32,
        _: bool,
        _: u32,
        _: u32,
        _: Extensions,
    ) -> io::Result<(Entry, Option<u64>, OpenOptions)> {
        Ok((numbered(name)?, Some(1), OpenOptions::empty()))
    }
    fn open(&self, _: Context, _: u64, _: bool, _: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        Ok((Some(1), OpenOptions::empty()))
    }
    fn opendir(&self, _: Context, _: u64, _: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        Ok((Some(1), OpenOptions::empty()))
    }
    fn forget(&self, _: Context, _: u64, _: u64) {}
    fn batch_forget(&self, _: Context, _: Vec<(u64, u64)>) {}
    fn init(&self, capable: FsOptions) -> io::Result<FsOptions> {
        Ok(capable)
    }
    fn destroy(&self) {}
    fn release(
        &self,
        _: Context,
        _: u64,
        _: u32,
        _: u64,
        _: bool,
        _: bool,
        _: Option<u64>,
    ) -> io::Result<()> {
        Ok(())
    }
    fn releasedir(&self, _: Context, _: u64, _: u32, _: u64) -> io::Result<()> {
        Ok(())
    }
}

fn context() -> Context {
    Context { uid: 0.into(), gid: 0.into(), pid: 1 }
}

/// Whether the guest may keep a name that it is given now.
fn may_keep(fs: &Checked<Numbered>, name: &CStr) -> bool {
    let entry = fs.lookup(context(), 1, name).expect("each name is there");
    assert!([DAY, Duration::ZERO].contains(&entry.entry_timeout) && entry.attr_timeout == DAY);
    entry.entry_timeout == DAY
}

#[test]
fn names_have_a_lifetime_until_half_of_the_descriptors_are_used() {
    let fs = Checked::new(Numbered, 20);
    let name = |number: u32| std::ffi::CString::new(number.to_string()).expect("no zero byte");
    let kept: Vec<bool> = (2..15).map(|number| may_keep(&fs, &name(number))).collect();
    assert_eq!(kept, [vec![true; 10], vec![false; 3]].concat());
    // A file that the guest knows already is no further one, and is known until it is forgotten as often as it was given.
    fs.forget(context(), 14, 1);
    fs.forget(context(), 13, 1);
    assert!(!may_keep(&fs, c"12"));
    fs.forget(context(), 12, 1);
    assert!(!may_keep(&fs, c"12"));
    fs.batch_forget(context(), vec![(12, 2), (11, 1)]);
    assert!(may_keep(&fs, c"11"));
    assert!(!may_keep(&fs, c"12"));
}

#[test]
fn every_call_that_gives_or_opens_a_file_counts() {
    type Call = fn(&Checked<Numbered>, &CStr);
    let calls: &[(&str, Call)] = &[
        ("lookup", |fs, name| assert!(fs.lookup(context(), 1, name).is_ok())),
        ("symlink", |fs, name| {
            assert!(fs.symlink(context(), c"t", 1, name, Extensions::default()).is_ok());
        }),
        ("mknod", |fs, name| {
            assert!(fs.mknod(context(), 1, name, 0, 0, 0, Extensions::default()).is_ok());
        }),
        ("mkdir", |fs, name| {
            assert!(fs.mkdir(context(), 1, name, 0, 0, Extensions::default()).is_ok());
        }),
        ("link", |fs, name| assert!(fs.link(context(), 2, 1, name).is_ok())),
        ("create", |fs, name| {
            assert!(fs.create(context(), 1, name, 0, false, 0, 0, Extensions::default()).is_ok());
        }),
        ("open", |fs, _| assert!(fs.open(context(), 1, false, 0).is_ok())),
        ("opendir", |fs, _| assert!(fs.opendir(context(), 1, 0).is_ok())),
    ];
    for (what, call) in calls {
        // Two descriptors may be used before names lose their lifetime: the call's and that of the question.
        let fs = Checked::new(Numbered, 2);
        call(&fs, c"5");
        assert!(!may_keep(&fs, c"6"), "{what}");
    }
}

#[test]
fn what_is_closed_or_unmounted_does_not_count_and_nothing_falls_below_zero() {
    type Call = fn(&Checked<Numbered>);
    let calls: &[(&str, Call)] = &[
        ("release", |fs| fs.release(context(), 1, 0, 1, false, false, None).expect("closed")),
        ("releasedir", |fs| fs.releasedir(context(), 1, 0, 1).expect("closed")),
        ("destroy", FileSystem::destroy),
        ("init", |fs| assert!(fs.init(FsOptions::empty()).is_ok())),
    ];
    for (what, call) in calls {
        let fs = Checked::new(Numbered, 2);
        fs.open(context(), 1, false, 0).expect("opened");
        assert!(!may_keep(&fs, c"6"), "{what}");
        fs.forget(context(), 6, u64::MAX);
        fs.forget(context(), 6, 1);
        for _ in 0..3 {
            call(&fs);
        }
        assert!(may_keep(&fs, c"6"), "{what}");
        assert!(!may_keep(&fs, c"7"), "{what}");
    }
}
