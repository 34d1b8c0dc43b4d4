//! How fast a stream becomes packages, and how much memory that takes: files of a synthetic tree, without a guest.
//!
//! `cargo bench --bench package -- [FILES] [BYTES OF EACH]`; the default is a tree of 4 GB in 200,000 files.

use std::{
    env, fs,
    io::{Read, Result},
    path::Path,
    time::Instant,
};

use kiln::{
    compile, manifest,
    package::{ApkForm, Form, Job, Limits, Normalization, Package, collect},
    pipelines::Library,
    plan::{BuildMetadata, PackagingOptions},
};
use tar::{EntryType, Header};

/// Files of one directory.
const PER_DIRECTORY: u64 = 1000;

/// The unit of a tar stream, in bytes.
const BLOCK: usize = 512;

/// A stream of the agent, made while it is read.
struct Tree {
    files: u64,
    bytes: u64,
    next: u64,
    pending: Vec<u8>,
    read: usize,
    is_ended: bool,
}

impl Tree {
    fn new(files: u64, bytes: u64) -> Self {
        let pending = header("p", EntryType::Directory, 0).to_vec();
        Self { files, bytes, next: 0, pending, read: 0, is_ended: false }
    }

    /// The next directory or file.
    fn refill(&mut self) {
        self.pending.clear();
        self.read = 0;
        if self.next == self.files {
            self.is_ended = true;
            self.pending.resize(2 * BLOCK, 0);
            return;
        }
        let directory = format!("p/d{:05}", self.next / PER_DIRECTORY);
        if self.next.is_multiple_of(PER_DIRECTORY) {
            self.pending.extend_from_slice(&header(&directory, EntryType::Directory, 0));
        }
        let name = format!("{directory}/file{:03}", self.next % PER_DIRECTORY);
        self.pending.extend_from_slice(&header(&name, EntryType::Regular, self.bytes));
        let mut state = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..self.bytes.div_ceil(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Half of the bits are noise: it compresses as programs do.
            self.pending.extend_from_slice(&(state & 0x0f0f_0f0f_0f0f_0f0f).to_le_bytes());
        }
        self.pending.resize(self.pending.len().next_multiple_of(BLOCK), 0);
        self.next += 1;
    }
}

impl Read for Tree {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.read == self.pending.len() {
            if self.is_ended {
                return Ok(0);
            }
            self.refill();
        }
        let length = buffer.len().min(self.pending.len() - self.read);
        buffer[..length].copy_from_slice(&self.pending[self.read..self.read + length]);
        self.read += length;
        Ok(length)
    }
}

fn header(name: &str, kind: EntryType, size: u64) -> [u8; BLOCK] {
    let mut header = Header::new_ustar();
    header.set_path(name).expect("a short name");
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o755);
    header.set_uid(1000);
    header.set_gid(1000);
    header.set_mtime(0);
    header.set_cksum();
    *header.as_bytes()
}

fn form() -> Form {
    let text = "package: {name: p, version: '1', epoch: 0}\npipeline: [{runs: 'true'}]\n";
    let manifest = manifest::parse(text, Path::new("p.yaml")).expect("it is valid");
    let options = compile::Options::new(compile::Arch::X86_64);
    let recipe = compile::compile(&manifest, &options, &Library::new([])).expect("it compiles");
    let build = BuildMetadata::of(&recipe, "p.yaml", 0, &PackagingOptions::default());
    Form::Apk(Box::new(ApkForm::new(&build, &[], None, &|text| text.to_owned())))
}

/// A line of `/proc/self/status`.
fn status(key: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    status.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned()
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn main() {
    let mut numbers = env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (files, bytes) = (numbers.next().unwrap_or(200_000), numbers.next().unwrap_or(20_000));
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let job = Job {
        packages: vec![Package { name: "p".into(), file_stem: "p-1-r0".into() }],
        normalization: Normalization { mtime: 0, build_uid: 1000, build_gid: 1000 },
        out_dir: scratch.path().to_owned(),
        limits: Limits::default(),
        form: form(),
    };
    let started = Instant::now();
    let collected = collect(Tree::new(files, bytes), &job).expect("it is a package");
    let duration = started.elapsed();
    let rate = (files * bytes) as f64 / duration.as_secs_f64() / 1e6;
    println!("{files} files of {bytes} bytes: {duration:.2?}, {rate:.0} MB/s, {}", status("VmHWM"));
    println!("package: {} bytes", collected.artifacts[0].bytes);
}
