//! An `.apk` file as linters see it.
//!
//! Before it stands the file, which anyone may have made: sections, headers and names are bounded and checked by the readers of
//! `apk` and of streams. Content is examined as it passes, and is never extracted.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    io::{self, BufRead, BufReader, Cursor, Read, Seek, Write},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result};
use sha1::{Digest, Sha1};

use super::subject::Tests;
use crate::{
    apk::{
        PackageInfo,
        control::ControlSection,
        section::{self, CONTROL_MAX, DATA_MAX},
    },
    exit::{Code, Failure},
    input,
    manifest::{self, Step},
    package::{
        entry::{Entry, Kind as EntryKind},
        facts::{self, FileFacts, Kind, PackageFacts},
        limits::Limits,
        reader::Reader,
    },
};

/// Larger content waits in a file without a name while it is examined.
const MAX_IN_MEMORY: u64 = 1 << 20;
/// What is read at a time.
const CHUNK: usize = 64 << 10;
/// The compiled build file in a control section.
const CONFIGURATION: &[u8] = b".melange.yaml";
/// Where the SBOM is, which linters of a build do not see.
const SBOM_DIRECTORY: &[u8] = b"var/lib/db/sbom/";

const WAY_OUT: &str =
    "Only packages can be linted that melange, kiln or abuild made; make it anew if it is one.";

/// What linters and their report need of a package.
#[derive(Debug)]
pub struct LintedApk {
    /// `.PKGINFO`.
    pub info: PackageInfo,
    /// The entries.
    pub facts: PackageFacts,
    /// What `.melange.yaml` says of tests.
    pub tests: Tests,
}

/// Reads a package. Fails with [`Code::Package`] for a file that is none, [`Code::Host`] for one that cannot be read.
pub fn read_apk(path: &Path) -> Result<LintedApk> {
    let file = input::open_file(path).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        Failure::new(Code::Host, what, "Name a file that can be read.")
    })?;
    examine_apk(BufReader::new(file), path)
}

/// As [`read_apk`], of a file that is open; `path` is for messages.
pub fn examine_apk(input: impl BufRead, path: &Path) -> Result<LintedApk> {
    let refused = |why: &str| Failure::new(Code::Package, format!("{}: {why}", path.display()), WAY_OUT);
    read(input).map_err(|error| {
        if let Some(Refused(why)) = error.downcast_ref() {
            return refused(why).into();
        }
        if let Some(failure) = error.downcast_ref::<Failure>() {
            // The reader of streams speaks of a guest.
            return refused(failure.what.trim_start_matches("the guest's archive: ")).into();
        }
        match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) {
            // What the unpacking of sections says.
            Some(cause) if cause.raw_os_error().is_none() => refused(&cause.to_string()).into(),
            _ => error.context(format!("read {}", path.display())),
        }
    })
}

/// Why a file is no package.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn read(mut input: impl BufRead) -> Result<LintedApk> {
    let head = section::head(&mut input, CONTROL_MAX).map_err(broken)?;
    let ControlSection { info, mtime: _, others } =
        ControlSection::read(&head.main.content).map_err(broken)?;
    let yaml = others.iter().find(|(entry, _)| entry.path == CONFIGURATION);
    let tests = yaml.map_or_else(Tests::default, |(_, yaml)| tests(yaml, &info.name));
    let mut facts = PackageFacts::new(info.name.clone());
    data(section::Data::new(input, DATA_MAX), &mut facts)?;
    Ok(LintedApk { info, facts, tests })
}

fn broken(error: io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(_) => error.into(),
        None => Refused(error.to_string()).into(),
    }
}

/// Which tests look at libraries: those of the package itself.
fn tests(yaml: &[u8], name: &str) -> Tests {
    let text = str::from_utf8(yaml).ok();
    let Some(manifest) = text.and_then(|text| manifest::parse(text, Path::new(".melange.yaml")).ok()) else {
        return Tests::default();
    };
    let subpackage = manifest.subpackages.iter().find(|subpackage| subpackage.name.as_str() == name);
    let test = match subpackage {
        Some(subpackage) if manifest.package.name.as_str() != name => subpackage.test.as_ref(),
        _ => manifest.test.as_ref(),
    };
    Tests::of(test.map_or(&[], |test| &test.pipeline))
}

impl Tests {
    /// What the steps of a package's own `test` section say.
    pub fn of(steps: &[Step]) -> Self {
        let uses = |names: &[&str]| steps.iter().any(|step| names.contains(&step.uses.as_str()));
        Self {
            is_known: true,
            has_ldd_check: uses(&["test/ldd-check", "test/tw/ldd-check"]),
            has_pkgconf: uses(&["test/pkgconf"]),
        }
    }
}

/// Examines the entries of the data section.
fn data(section: impl Read, facts: &mut PackageFacts) -> Result<()> {
    let stream = section.chain(io::repeat(0).take(1024));
    let mut reader = Reader::new(stream, Limits::default());
    let mut names = Names::default();
    while let Some(entry) = reader.next_entry()? {
        let Some(file) = file(&mut reader, entry, facts, &mut names)? else { continue };
        facts.push(file)?;
    }
    Ok(())
}

/// The places of regular files, for hard links. They are gathered when the first link comes.
#[derive(Default)]
struct Names {
    seen: usize,
    by_path: HashMap<Box<[u8]>, usize>,
}

impl Names {
    fn find<'f>(&mut self, path: &[u8], facts: &'f PackageFacts) -> Option<&'f FileFacts> {
        let new = facts.files().iter().enumerate().skip(self.seen);
        self.by_path.extend(new.map(|(index, file)| (file.path.clone(), index)));
        self.seen = facts.files().len();
        facts.files().get(*self.by_path.get(path)?).filter(|file| file.is_regular())
    }
}

fn file(
    reader: &mut Reader<impl Read>,
    entry: Entry,
    facts: &PackageFacts,
    names: &mut Names,
) -> Result<Option<FileFacts>> {
    let plain = |path: &[u8]| path.strip_prefix(b"./").unwrap_or(path).to_vec();
    let path = plain(&entry.path);
    if path.is_empty() || path == b"." || (path.starts_with(SBOM_DIRECTORY) && path.ends_with(b".spdx.json"))
    {
        return Ok(None);
    }
    let (kind, size, special) = match entry.kind {
        EntryKind::File { size } => {
            let (sha1, special) = examine(reader, &path, size)?;
            (Kind::Regular { sha1: Some(sha1) }, size, special)
        }
        EntryKind::HardLink { target } => {
            let target = names.find(&plain(&target), facts);
            let target =
                target.ok_or_else(|| Refused(format!("{}: its link leads nowhere", shown(&path))))?;
            (Kind::HardLink { sha1: target.sha1() }, target.size, target.special.clone())
        }
        EntryKind::Directory => (Kind::Directory, 0, None),
        EntryKind::Symlink { target } => (Kind::Symlink { target: target.into() }, 0, None),
        EntryKind::Fifo => (Kind::Fifo, 0, None),
        EntryKind::Whiteout => return Err(Refused(format!("{}: it is a device", shown(&path))).into()),
    };
    Ok(Some(FileFacts { path: path.into(), kind, mode: entry.mode, size, special }))
}

fn shown(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

type Examined = ([u8; 20], Option<Arc<facts::Special>>);

fn examine(reader: &mut Reader<impl Read>, path: &[u8], size: u64) -> Result<Examined> {
    if size <= MAX_IN_MEMORY {
        return held(reader, path, size, Cursor::new(Vec::new()));
    }
    held(reader, path, size, tempfile::tempfile().context("make a scratch file")?)
}

/// Copies the content to where it can be read at any place, and looks at it there.
fn held(
    reader: &mut Reader<impl Read>,
    path: &[u8],
    size: u64,
    mut content: impl Read + Write + Seek,
) -> Result<Examined> {
    let mut digest = Sha1::new();
    read_content(reader, |bytes| {
        digest.update(bytes);
        content.write_all(bytes).context("write a scratch file")
    })?;
    let special = facts::examine(path, &mut content, size)?;
    Ok((digest.finalize().into(), special.map(Arc::from)))
}

fn read_content(reader: &mut Reader<impl Read>, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = reader.read_body(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        take(buffer.get(..length).unwrap_or_default())?;
    }
}
