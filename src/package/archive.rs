//! Makes one archive for each package of the guest's stream: `<out_dir>/<name>-<version>-r<epoch>.tar.zst`.
//!
//! The archives get their names when the whole stream has been accepted.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    unistd::{AccessFlags, faccessat},
};
use zstd::stream::write::Encoder;

use super::{
    entry::{Entry, Kind, Time},
    limits::Limits,
    reader::Reader,
    refusal::refuse,
    staged_file::{Directory, Staged},
    tree::{Tree, check_path},
    writer::Writer,
};
use crate::exit::{Code, Failure};

/// zstd's default: 3 compresses faster than TCG delivers.
const LEVEL: i32 = 3;

const EXTENSION: &str = "tar.zst";

/// A package that the stream may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The directory in the stream.
    pub name: String,
    /// The file's name without its extension: `name-version-rN`.
    pub file_stem: String,
}

/// Times and owners in place of the guest's, so that two builds of a recipe give the same bytes; as in melange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalization {
    /// The modification time of every entry: the build date, in seconds since the epoch.
    pub mtime: i64,
    /// The user that builds run as; the user's files belong to root in a package.
    pub build_uid: u32,
    /// The group of that user.
    pub build_gid: u32,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// [`Package::name`].
    pub package: String,
    /// Its path.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How many files, links and directories it holds.
    pub entries: u64,
}

/// Reads the stream to its end and writes an archive for each package, in their order; a package without entries in the
/// stream has an empty archive. A refused stream is a [`Failure`] with [`Code::Package`], and leaves nothing.
///
/// In the stream each directory comes before its entries, and the entries of a package are together.
pub fn collect(
    stream: impl Read,
    packages: &[Package],
    normalization: Normalization,
    out_dir: &Path,
    limits: &Limits,
) -> Result<Vec<Artifact>> {
    for Package { name, file_stem } in packages {
        let plain = |name: &str| !name.contains('/') && check_path(name.as_bytes()).is_ok();
        ensure!(plain(name) && plain(file_stem), "the package {name:?} ({file_stem:?}) is not a file name");
    }
    let out = Directory::open(out_dir).map_err(|error| unwritable(out_dir, &error))?;
    let mut reader = Reader::new(stream, limits.clone());
    let done = packages.iter().map(|_| None).collect();
    let mut splitter = PackageSplitter { packages, normalization, out_dir, out: &out, open: None, done };
    let mut buffer = vec![0; 64 << 10];
    while let Some(entry) = reader.next_entry()? {
        let Some(archive) = splitter.start_entry(entry)? else { continue };
        loop {
            let length = reader.read_body(&mut buffer)?;
            if length == 0 {
                break;
            }
            archive.writer.content(&buffer[..length]).map_err(|error| unwritable(out_dir, &error))?;
        }
    }
    let archives = splitter.finish()?;
    publish(packages, archives, &out, out_dir)
}

fn publish(
    packages: &[Package],
    archives: Vec<Finished>,
    out: &Directory,
    out_dir: &Path,
) -> Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for (package, Finished { staged, entries }) in packages.iter().zip(archives) {
        let file = format!("{}.{EXTENSION}", package.file_stem);
        let path = out_dir.join(&file);
        let bytes = staged.file().metadata().with_context(|| format!("look at {}", path.display()))?.len();
        staged.publish(&file).map_err(|error| unwritable(&path, &error))?;
        artifacts.push(Artifact { package: package.name.clone(), path, bytes, entries });
    }
    out.sync().map_err(|error| unwritable(out_dir, &error))?;
    Ok(artifacts)
}

/// The archives of one stream.
struct PackageSplitter<'a> {
    packages: &'a [Package],
    normalization: Normalization,
    out_dir: &'a Path,
    out: &'a Directory,
    open: Option<Open>,
    /// In the order of `packages`.
    done: Vec<Option<Finished>>,
}

/// The archive that is being written.
struct Open {
    index: usize,
    tree: Tree,
    writer: Writer<Encoder<'static, File>>,
    staged: Staged,
    entries: u64,
}

struct Finished {
    staged: Staged,
    entries: u64,
}

impl PackageSplitter<'_> {
    /// Checks an entry of the stream and starts it in its archive; `None` for the directory that is the package itself.
    fn start_entry(&mut self, mut entry: Entry) -> Result<Option<&mut Open>> {
        let refused = |why: &str| refuse(&entry.path, why);
        check_path(&entry.path).map_err(|why| refused(&why))?;
        let name = entry.path.split(|&byte| byte == b'/').next().expect("split gives one piece at least");
        let index = self.packages.iter().position(|package| package.name.as_bytes() == name);
        let index = index.ok_or_else(|| refused("it belongs to no package of the build file"))?;
        let is_root = name.len() == entry.path.len();
        if is_root && entry.kind != Kind::Directory {
            return Err(refused("a package is a directory"));
        }
        if self.open.as_ref().is_none_or(|open| open.index != index) {
            self.close()?;
            if self.done[index].is_some() {
                return Err(refused("the entries of its package are not together"));
            }
            self.open = Some(self.start(index)?);
        } else if is_root {
            return Err(refused("it is in the stream twice, or after its own entries"));
        }
        let open = self.open.as_mut().expect("opened above");
        if is_root {
            return Ok(None);
        }
        let whole = entry.path.clone();
        into_package(&mut entry).map_err(|why| refuse(&whole, why))?;
        self.normalization.apply(&mut entry);
        open.tree.admit(&entry).map_err(|why| refuse(&whole, why))?;
        open.entries += 1;
        open.writer.entry(&entry).map_err(|error| unwritable(self.out_dir, &error))?;
        Ok(Some(open))
    }

    fn start(&self, index: usize) -> Result<Open> {
        self.try_start(index).map_err(|error| unwritable(self.out_dir, &error))
    }

    fn try_start(&self, index: usize) -> io::Result<Open> {
        let staged = self.out.stage()?;
        let mut encoder = Encoder::new(staged.file().try_clone()?, LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Open { index, tree: Tree::default(), writer: Writer::new(encoder), staged, entries: 0 })
    }

    fn close(&mut self) -> Result<()> {
        let Some(Open { index, tree: _, writer, staged, entries }) = self.open.take() else { return Ok(()) };
        let written = writer.finish().and_then(Encoder::finish).and_then(|file| file.sync_all());
        written.map_err(|error| unwritable(self.out_dir, &error))?;
        self.done[index] = Some(Finished { staged, entries });
        Ok(())
    }

    /// Closes the last archive and makes the empty ones.
    fn finish(mut self) -> Result<Vec<Finished>> {
        self.close()?;
        for index in 0..self.packages.len() {
            if self.done[index].is_none() {
                self.open = Some(self.start(index)?);
                self.close()?;
            }
        }
        Ok(self.done.into_iter().flatten().collect())
    }
}

impl Normalization {
    fn apply(self, entry: &mut Entry) {
        let Self { mtime, build_uid, build_gid } = self;
        entry.mtime = Time { seconds: mtime, nanos: 0 };
        if entry.uid == build_uid {
            entry.uid = 0;
        }
        if entry.gid == build_gid {
            entry.gid = 0;
        }
    }
}

/// Makes names relative to the package; an error is the reason of the refusal.
fn into_package(entry: &mut Entry) -> Result<(), String> {
    let slash =
        entry.path.iter().position(|&byte| byte == b'/').expect("only the package itself has no slash");
    let package = entry.path[..=slash].to_vec();
    entry.path.drain(..=slash);
    if let Kind::HardLink { target } = &mut entry.kind {
        *target = target
            .strip_prefix(&package[..])
            .ok_or("it is a hard link that leads out of its package")?
            .to_vec();
    }
    Ok(())
}

/// Whether packages can be written to `out_dir`, which may not exist yet: checked before a build, whose result would be lost.
///
/// # Errors
/// A host failure with the path that cannot be written.
pub fn check_writable(out_dir: &Path) -> Result<()> {
    let existing = out_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        return Err(unwritable(existing, &io::ErrorKind::NotADirectory.into()));
    }
    let access = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(AT_FDCWD, existing, access, AtFlags::AT_EACCESS)
        .map_err(|error| unwritable(existing, &error.into()))
}

fn unwritable(path: &Path, error: &io::Error) -> anyhow::Error {
    let what = format!("write packages to {}: {error}", path.display());
    let way_out = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room there, or name another directory with --out-dir"
        }
        _ => "make it a directory that this user can write, or name another one with --out-dir",
    };
    Failure::new(Code::Host, what, way_out).into()
}
