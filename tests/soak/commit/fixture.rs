//! A small cache, and the stream of a build that changed everything in it that can be changed.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use data_encoding::HEXLOWER;
use kiln::{
    cache::{Lease, LockMode, Request, try_acquire},
    home::Home,
};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::wait_until::wait_until;

/// More files than are flushed one by one.
const MANY: usize = 70;
/// In every time that the stream names.
const TIME: u64 = 1_000_000_000;
/// How large a file of the larger fixture is.
const BYTES: usize = 100;

/// How much a build adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Few files: each is flushed by itself.
    Few,
    /// So many that the file system is flushed at once.
    Many,
}

/// All that can be seen of a cache: by path, what it is, its mode, and what is in it.
pub(crate) type Seen = BTreeMap<PathBuf, String>;

/// A directory with a cache and a home of kiln.
pub(super) struct Fixture {
    root: PathBuf,
    size: Size,
    _own: Option<tempfile::TempDir>,
}

impl Fixture {
    /// A new one, in memory where that is possible: it is made some thousand times.
    pub(super) fn new(size: Size) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let own = tempfile::Builder::new().prefix("kiln-soak-").tempdir_in(parent).unwrap();
        let fixture = Self { root: own.path().to_owned(), size, _own: Some(own) };
        fs::create_dir(fixture.cache()).unwrap();
        fs::write(fixture.root.join("many"), (size == Size::Many).to_string()).unwrap();
        fixture.fill();
        fixture
    }

    /// A fixture that another process has made.
    pub(super) fn of(root: PathBuf) -> Self {
        let size = match fs::read_to_string(root.join("many")).unwrap().as_str() {
            "true" => Size::Many,
            _ => Size::Few,
        };
        Self { root, size, _own: None }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    fn home(&self) -> Home {
        Home::at(self.root.join("home"))
    }

    /// Takes the lease as the next start of kiln does.
    pub(super) fn lease(&self, lock_mode: LockMode) -> anyhow::Result<Option<Lease>> {
        let request =
            Request { directory: self.cache(), lock_mode, who: "a test".into(), limit: Duration::ZERO };
        try_acquire(&self.home(), &request)
    }

    /// Takes the lease alone, as the next start does that needs it so. A child that another test is just starting has this
    /// process's locks until its program runs, and is waited for.
    pub(super) fn alone(&self, doing: &str) -> Lease {
        let mut lease = None;
        let free = wait_until(|| {
            lease = self.lease(LockMode::Exclusive).unwrap();
            lease.is_some()
        });
        assert!(free, "{doing}: a stale lock");
        lease.unwrap()
    }

    fn fill(&self) {
        for (path, content) in [
            ("go/mod@v1/a.go", "package mod"),
            ("list", "old"),
            ("gone", "old"),
            ("gone-tree/x/y", "old"),
            ("opaque/old", "old"),
            ("opaque/both", "old"),
            ("same", "same"),
            ("kind", "a file"),
            (&source("old"), "old"),
        ] {
            let path = self.cache().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        symlink("same", self.cache().join("link")).unwrap();
        let module = self.cache().join("go/mod@v1");
        fs::set_permissions(module, fs::Permissions::from_mode(0o555)).unwrap();
    }

    /// The content of the build's overlay after its success.
    pub(super) fn stream(&self) -> Vec<u8> {
        let mut upper = Upper::default();
        upper.directory("go", 0o755);
        upper.directory("go/mod@v1", 0o555);
        upper.file("go/mod@v1/b.go", "package mod");
        upper.directory("go/mod@v2", 0o555);
        upper.file("go/mod@v2/a.go", "package mod, the second");
        upper.directory("go/mod@v2/sub", 0o555);
        upper.file("go/mod@v2/sub/.done", "");
        upper.link(EntryType::Link, "go/mod@v2/sub/c.go", "go/mod@v2/a.go");
        upper.file("list", "new");
        upper.file("same", "same");
        upper.whiteout("gone");
        upper.whiteout("gone-tree");
        upper.opaque("opaque");
        upper.file("opaque/both", "new");
        upper.file("opaque/new", "new");
        upper.directory("kind", 0o755);
        upper.file("kind/file", "in a directory now");
        upper.link(EntryType::Symlink, "link", "list");
        upper.file(&source("new"), "new");
        if self.size == Size::Many {
            upper.directory("many", 0o755);
            for number in 0..MANY {
                upper.directory(&format!("many/{number}"), 0o755);
                upper.file(&format!("many/{number}/file"), &"x".repeat(BYTES));
            }
        }
        upper.finish()
    }

    pub(super) fn seen(&self) -> Seen {
        seen(&self.cache())
    }

    /// Whether a commit is decided and not complete.
    pub(super) fn is_decided(&self) -> bool {
        records(&self.root.join("home")).iter().any(|name| name.parse::<u64>().is_ok())
    }

    /// The leftovers in its home.
    pub(super) fn left(&self) -> Vec<String> {
        left(&self.root.join("home"))
    }
}

/// A cache as it is; what kiln has on its way into it counts as well.
pub(crate) fn seen(cache: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut open = vec![cache.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let mode = metadata.mode();
            let what = if metadata.is_dir() {
                open.push(path.clone());
                format!("directory {mode:o}")
            } else if metadata.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else {
                format!("file {mode:o} {:?}", fs::read_to_string(&path).unwrap())
            };
            seen.insert(path.strip_prefix(cache).unwrap().to_owned(), what);
        }
    }
    seen
}

/// The leftovers of a kiln in its home, without the files that it keeps on purpose.
pub(crate) fn left(home: &Path) -> Vec<String> {
    let holders = fs::read_dir(home.join("leases")).unwrap().flatten();
    let holders = holders.flat_map(|cache| names(&cache.path().join("holders")));
    holders.chain(records(home)).chain(names(&home.join("staging"))).collect()
}

/// The records of all journals.
fn records(home: &Path) -> Vec<String> {
    let caches = fs::read_dir(home.join("journals")).into_iter().flatten().flatten();
    caches.flat_map(|cache| names(&cache.path())).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The name of a source by its content.
pub(crate) fn source(content: &str) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(content)))
}

/// Writes what an overlay holds, as the agent does.
pub(crate) struct Upper(Builder<Vec<u8>>);

impl Default for Upper {
    fn default() -> Self {
        Self(Builder::new(Vec::new()))
    }
}

impl Upper {
    /// All of it.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn entry(&mut self, kind: EntryType, path: &str, mode: u32, content: &str) {
        let mut header = header(kind, mode);
        header.set_size(content.len() as u64);
        self.0.append_data(&mut header, path, content.as_bytes()).unwrap();
    }

    pub(crate) fn directory(&mut self, path: &str, mode: u32) {
        self.entry(EntryType::Directory, path, mode, "");
    }

    pub(crate) fn opaque(&mut self, path: &str) {
        self.0.append_pax_extensions([("SCHILY.xattr.trusted.overlay.opaque", b"y".as_slice())]).unwrap();
        self.directory(path, 0o755);
    }

    pub(crate) fn file(&mut self, path: &str, content: &str) {
        self.entry(EntryType::Regular, path, 0o644, content);
    }

    pub(crate) fn link(&mut self, kind: EntryType, path: &str, target: &str) {
        self.0.append_link(&mut header(kind, 0o777), path, target).unwrap();
    }

    pub(crate) fn whiteout(&mut self, path: &str) {
        self.entry(EntryType::Char, path, 0, "");
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TIME);
    header.set_size(0);
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header
}
