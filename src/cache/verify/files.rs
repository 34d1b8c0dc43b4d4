//! The cache as a tool's verification reads it: no link is followed, and reading does not count as a use.

use std::{fs::File, io};

use anyhow::{Context, Result};

use crate::{
    cache::dir::{
        BeneathDir, FileType, file_type,
        holes::{MOST_HOLES, holes},
    },
    ecosystem::{EntryType, Files},
};

impl Files for BeneathDir {
    fn file(&self, path: &[u8]) -> io::Result<Option<File>> {
        self.file_unused(path)
    }

    fn directory(&self, path: &[u8]) -> io::Result<Option<Box<dyn Files>>> {
        Ok(self.dir(path)?.map(|directory| Box::new(directory) as Box<dyn Files>))
    }

    fn entries(&self) -> io::Result<Vec<(Vec<u8>, EntryType)>> {
        let mut entries = Vec::new();
        for name in self.names()? {
            if let Some(stat) = self.stat(&name)? {
                entries.push((name, entry_type(file_type(&stat))));
            }
        }
        Ok(entries)
    }

    fn is_mostly_holes(&self, file: &File) -> Result<bool> {
        Ok(holes(file, &file.metadata().context("look at it")?)? > MOST_HOLES)
    }
}

/// The type of an entry, for a tool.
pub(super) fn entry_type(file_type: FileType) -> EntryType {
    match file_type {
        FileType::Directory => EntryType::Directory,
        FileType::File => EntryType::File,
        FileType::Symlink | FileType::Other => EntryType::Other,
    }
}
