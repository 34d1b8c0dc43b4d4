//! What linters and dependency generators need to know of the files of a package.
//!
//! Before it stands the collector of packages, which calls [`examine`] for each regular file while the content is at hand, and
//! gathers [`PackageFacts`]. After it stand `dependencies` and `lint`, pure functions of these facts. Files are made by a
//! hostile guest: reads are bounded, and what is kept of a file is less than the file.

mod elf;
mod file;
mod go;
mod kernel;
mod package;
mod path;
mod pkg_config;
mod source;
mod text;
mod walk;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Seek};

pub(crate) use self::text::is_script_place;
pub use self::{
    elf::{Elf, Machine},
    file::{FileFacts, Kind, Special},
    package::PackageFacts,
    path::{base_name, parent},
    pkg_config::PkgConfig,
    walk::Walk,
};
use self::{kernel::Versions, source::Source, text::FIRST_LINE_BYTES};

/// Looks into a regular file of `size` bytes; `path` is that of [`FileFacts`]. `None` for most files. The reader's position before
/// and after the call has no meaning. Fails only if the content cannot be read.
pub fn examine(path: &[u8], content: &mut (impl Read + Seek), size: u64) -> io::Result<Option<Box<Special>>> {
    let mut source = Source::new(content, size);
    let head = source.head(FIRST_LINE_BYTES)?;
    let Versions { linux: linux_version, vermagic } = kernel::examine(path, &mut source)?;
    let special = Special {
        elf: if elf::is_elf(&head) { Some(elf::examine(&mut source)?) } else { None },
        shebang: text::shebang(path, &head),
        pkg_config: if path.ends_with(b".pc") { pkg_config::examine(&mut source)? } else { None },
        library_directories: text::library_directories(path, &mut source)?,
        linux_version,
        vermagic,
    };
    Ok((special != Special::default()).then(|| Box::new(special)))
}
