//! How much files hold: numbers of entries, and bytes.

use std::ops::ControlFlow;

use anyhow::Result;
use nix::sys::stat::FileStat;

use super::{BeneathDir, FileType, file_type, walk::walk};
use crate::event::Amount;

/// The files and links of a tree.
pub(in crate::cache) fn du(parent: &BeneathDir, name: &[u8]) -> Result<Amount> {
    let Some(stat) = parent.stat(name)? else { return Ok(Amount::default()) };
    if file_type(&stat) != FileType::Directory {
        return Ok(of(&stat));
    }
    let mut sum = Amount::default();
    let Some(dir) = parent.dir(name)? else { return Ok(sum) };
    walk(&dir, |found| {
        if found.file_type != FileType::Directory {
            sum = sum.plus(of(&found.stat));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sum)
}

/// One file or link.
pub(in crate::cache) fn of(stat: &FileStat) -> Amount {
    Amount { entries: 1, bytes: content(stat) }
}

/// The bytes that a file or link holds: its length without holes. So a sparse file counts for what its removal frees, and a
/// small file not for a whole block.
pub(in crate::cache) fn content(stat: &FileStat) -> u64 {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let length = unsigned(stat.st_size);
    // A short link lies in its inode and has no blocks.
    if file_type(stat) == FileType::File {
        length.min(unsigned(stat.st_blocks).saturating_mul(512))
    } else {
        length
    }
}
