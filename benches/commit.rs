//! The cost of a commit: ten new files in caches of a thousand to a million files, the start of a build with each, and a
//! gigabyte in 20,000 files against `cp -a` and `sync` of the same.
//!
//! `cargo bench --bench commit -- --runs 5`; it needs 1.2 million free inodes and 4 GB below `$TMPDIR`. `--small` leaves the
//! gigabyte out. The files that are there already are empty: a name and an inode is what a commit could have to look at.

#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod measure;

use std::{
    env, fs,
    io::{Read, Write, pipe},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use kiln::{
    cache::{CommitLimit, LockMode, Outcome, Request, commit, finish, renew, stage, try_acquire},
    home::Home,
};
use measure::{Series, report, runs};
use tar::{Builder, Header};

/// How many files the caches hold.
const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
/// How many of them lie in one directory.
const IN_A_DIRECTORY: usize = 100;
/// How many files a commit adds.
const NEW: usize = 10;
/// How large each of those is.
const NEW_BYTES: usize = 10_000;

/// The large merge: how many files, and how large each is.
const MANY: usize = 20_000;
const MANY_BYTES: usize = 50_000;

/// A cache with its own home of kiln.
struct Cache {
    directory: PathBuf,
    home: Home,
}

impl Cache {
    fn at(root: &Path) -> Self {
        let directory = root.join("cache");
        fs::create_dir_all(&directory).expect("a cache can be made");
        Self { directory, home: Home::at(root.join("home")) }
    }

    fn fill(&self, files: usize) {
        for number in 0..files / IN_A_DIRECTORY {
            let directory = self.directory.join(format!("pip/{}/{number}", number % 100));
            fs::create_dir_all(&directory).expect("a directory can be made");
            for file in 0..IN_A_DIRECTORY {
                fs::write(directory.join(file.to_string()), "").expect("a file can be written");
            }
        }
        // Both homes know what it holds, as if commits had filled it: else each looks at up to 5,000 files, whatever the size.
        renew(&self.home, &self.directory).expect("it can be counted");
        let mut report = Command::new(env!("CARGO_BIN_EXE_kiln"));
        run(report.args(["cache", "report", "--cache-dir"]).arg(&self.directory).stdout(Stdio::null()));
    }

    /// From the lease of a build to its end, with what `write` writes in between.
    fn commit(&self, stream: impl Read) {
        let request = Request {
            directory: self.directory.clone(),
            lock_mode: LockMode::Shared,
            who: "a benchmark".into(),
            limit: Duration::ZERO,
        };
        let lease = try_acquire(&self.home, &request).expect("a lease").expect("no other process holds it");
        let outcome = stage(&lease, stream, CommitLimit::default()).expect("staged");
        let Outcome::Staged(staged) = outcome else { panic!("there is something new") };
        commit(&lease, *staged, lease.lock_commits().expect("taken")).expect("committed");
        finish(&lease).expect("ended");
    }
}

/// The stream of ten new files.
fn ten(round: usize) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut add = |path: String, content: &[u8], kind: tar::EntryType| {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content).expect("written to memory");
    };
    add("pip".into(), b"", tar::EntryType::Directory);
    add("pip/0".into(), b"", tar::EntryType::Directory);
    for file in 0..NEW {
        add(format!("pip/0/new-{round}-{file}"), &[b'x'; NEW_BYTES], tar::EntryType::Regular);
    }
    builder.into_inner().expect("written to memory")
}

/// Bytes that this process has had written to disks.
fn written() -> u64 {
    let text = fs::read_to_string("/proc/self/io").expect("Linux tells");
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).expect("a number of bytes")
}

/// Ten new files, and the start of a build, in caches of each size, taken in turn.
fn small(root: &Path, rounds: usize) {
    let caches: Vec<Cache> = SIZES.iter().map(|size| Cache::at(&root.join(size.to_string()))).collect();
    for (cache, size) in caches.iter().zip(SIZES) {
        cache.fill(size);
    }
    fs::write(root.join("true.yaml"), TRUE).expect("the build file can be written");
    let series = |what: &str| SIZES.map(|size| Series::new(&format!("{what}, {size} files")));
    let (mut adds, mut starts) = (series("10 new"), series("a build"));
    let mut bytes = SIZES.map(|_| Vec::new());
    for round in 0..=rounds {
        for (at, cache) in caches.iter().enumerate() {
            let (before, started) = (written(), Instant::now());
            cache.commit(&ten(round)[..]);
            let (took, wrote) = (started.elapsed().as_secs_f64(), written() - before);
            let started = Instant::now();
            build(root, cache);
            let start = started.elapsed().as_secs_f64();
            if round > 0 {
                adds[at].seconds.push(took);
                bytes[at].push(wrote);
                starts[at].seconds.push(start);
            }
        }
    }
    report("commit-ten", &adds);
    for (size, mut bytes) in SIZES.into_iter().zip(bytes) {
        bytes.sort_unstable();
        let [least, median, most] = [0, bytes.len() / 2, bytes.len() - 1].map(|at| bytes[at]);
        println!("{size} files: {median} bytes written, least {least}, most {most}");
    }
    report("commit-start", &starts);
}

const TRUE: &str = "package:\n  name: nothing\n  version: \"1\"\n  epoch: 0\npipeline:\n  - runs: \"true\"\n";

/// A build in a sandbox that does nothing, in mode commit.
fn build(root: &Path, cache: &Cache) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["build", "--runner", "bubblewrap", "--progress", "plain", "--network", "off"])
        .args(["--cache-mode", "commit", "--cache-dir"])
        .arg(&cache.directory)
        .arg("--out-dir")
        .arg(root.join("packages"))
        .arg(root.join("true.yaml"))
        .stdin(Stdio::null())
        .output()
        .expect("kiln can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A gigabyte by a commit, and by `cp -a` and `sync`, in turn.
fn large(root: &Path, rounds: usize) {
    let source = root.join("source");
    for number in 0..MANY {
        let directory = source.join(format!("uv/{}", number / IN_A_DIRECTORY));
        fs::create_dir_all(&directory).expect("a directory can be made");
        let content: Vec<u8> = (0..MANY_BYTES).map(|byte| ((byte * number) >> 3) as u8).collect();
        fs::write(directory.join(number.to_string()), content).expect("a file can be written");
    }
    sync(&source);
    let mut series = [Series::new("cp -a and sync"), Series::new("a commit")];
    for round in 0..=rounds {
        let copy = root.join("copy");
        let started = Instant::now();
        run(Command::new("cp").arg("-a").args([&source, &copy]));
        sync(&copy);
        let copied = started.elapsed().as_secs_f64();
        fs::remove_dir_all(copy).expect("it can be removed");
        sync(root);
        let cache = Cache::at(&root.join("large"));
        let started = Instant::now();
        merge(&cache, &source);
        let committed = started.elapsed().as_secs_f64();
        fs::remove_dir_all(root.join("large")).expect("it can be removed");
        sync(root);
        if round > 0 {
            series[0].seconds.push(copied);
            series[1].seconds.push(committed);
        }
    }
    report("commit-large", &series);
}

/// The agent's part, too: it reads the files and writes the stream.
fn merge(cache: &Cache, source: &Path) {
    let (reader, writer) = pipe().expect("a pipe");
    let source = source.to_owned();
    let agent = thread::spawn(move || {
        let mut builder = Builder::new(std::io::BufWriter::with_capacity(256 << 10, writer));
        builder.append_dir_all("uv", source.join("uv")).expect("the stream is read");
        builder.into_inner().and_then(|mut writer| writer.flush()).expect("the stream is read");
    });
    cache.commit(reader);
    agent.join().expect("it ends");
}

/// Flushes the file system that a path lies on.
fn sync(path: &Path) {
    run(Command::new("sync").arg("--file-system").arg(path));
}

fn run(command: &mut Command) {
    assert!(command.status().expect("it can be started").success(), "{command:?}");
}

fn main() {
    let root = tempfile::tempdir().expect("a directory can be made");
    let rounds = runs(5);
    if !env::args().any(|word| word == "--small") {
        large(root.path(), rounds);
        fs::remove_dir_all(root.path().join("source")).expect("it can be removed");
    }
    small(root.path(), rounds);
}
