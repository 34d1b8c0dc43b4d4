//! Splits the stream into packages: each is a directory of the stream, and has an archive of its own.

use std::{io, path::Path};

use anyhow::Result;

use super::{
    artifact::Package,
    entry::{Entry, Kind},
    fault::Fault,
    out_dir::unwritable,
    refusal::refuse,
    tree::check_path,
};

/// An archive that takes the entries of one package.
pub(super) trait Archive {
    /// The finished archive.
    type Finished;

    /// Checks an entry and starts it. Its names are relative to the package.
    fn entry(&mut self, entry: Entry) -> Result<(), Fault>;

    /// The next piece of the current file's content.
    fn content(&mut self, piece: &[u8]) -> Result<(), Fault>;

    /// Ends the archive.
    fn finish(self) -> Result<Self::Finished, Fault>;
}

/// The archives of one stream.
pub(super) struct Splitter<'a, A: Archive, S> {
    packages: &'a [Package],
    out_dir: &'a Path,
    start: S,
    open: Option<Open<A>>,
    /// In the order of `packages`.
    finished: Vec<Option<A::Finished>>,
}

/// The archive that is being written.
struct Open<A> {
    index: usize,
    archive: A,
    /// The whole name of the current entry.
    current: Vec<u8>,
}

impl<'a, A: Archive, S: FnMut(usize) -> io::Result<A>> Splitter<'a, A, S> {
    /// `start` starts the archive of a package by its index.
    pub(super) fn new(packages: &'a [Package], out_dir: &'a Path, start: S) -> Self {
        Self { packages, out_dir, start, open: None, finished: packages.iter().map(|_| None).collect() }
    }

    /// Checks an entry of the stream and starts it in its archive.
    pub(super) fn entry(&mut self, mut entry: Entry) -> Result<()> {
        let refused = |why: &str| refuse(&entry.path, why);
        check_path(&entry.path).map_err(|why| refused(&why))?;
        let name = entry.path.split(|&byte| byte == b'/').next().unwrap_or_default();
        let index = self.packages.iter().position(|package| package.name.as_bytes() == name);
        let index = index.ok_or_else(|| refused("it belongs to no package of the build file"))?;
        let is_root = name.len() == entry.path.len();
        if is_root && entry.kind != Kind::Directory {
            return Err(refused("a package is a directory"));
        }
        if self.open.as_ref().is_none_or(|open| open.index != index) {
            self.close()?;
            if self.finished[index].is_some() {
                return Err(refused("the entries of its package are not together"));
            }
            self.open = Some(self.start(index)?);
        } else if is_root {
            return Err(refused("it is in the stream twice, or after its own entries"));
        }
        let Some(open) = self.open.as_mut().filter(|_| !is_root) else { return Ok(()) };
        open.current.clone_from(&entry.path);
        into_package(&mut entry).map_err(|why| refuse(&open.current, why))?;
        open.archive.entry(entry).map_err(|fault| fault.into_error(&open.current, self.out_dir))
    }

    /// The next piece of the current file's content.
    pub(super) fn content(&mut self, piece: &[u8]) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.archive.content(piece).map_err(|fault| fault.into_error(&open.current, self.out_dir))
    }

    fn start(&mut self, index: usize) -> Result<Open<A>> {
        let archive = (self.start)(index).map_err(|error| unwritable(self.out_dir, &error))?;
        Ok(Open { index, archive, current: Vec::new() })
    }

    fn close(&mut self) -> Result<()> {
        let Some(Open { index, archive, current }) = self.open.take() else { return Ok(()) };
        let finished = archive.finish().map_err(|fault| fault.into_error(&current, self.out_dir))?;
        self.finished[index] = Some(finished);
        Ok(())
    }

    /// Closes the last archive and makes the empty ones.
    pub(super) fn finish(mut self) -> Result<Vec<A::Finished>> {
        self.close()?;
        for index in 0..self.packages.len() {
            if self.finished[index].is_none() {
                self.open = Some(self.start(index)?);
                self.close()?;
            }
        }
        Ok(self.finished.into_iter().flatten().collect())
    }
}

/// Makes names relative to the package; an error is the reason of the refusal.
fn into_package(entry: &mut Entry) -> Result<(), String> {
    let slash = entry.path.iter().position(|&byte| byte == b'/').ok_or("a package is a directory")?;
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
