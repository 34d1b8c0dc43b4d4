//! Makes packages of the files that a build has installed: the guest's tar stream in, an archive for each package out.
//!
//! ```text
//! stream --reader--> Entry --tree (is it safe?)--> Entry, relative to its package --writer--> staged file --publish--> <out_dir>/…
//! ```
//!
//! Before it stands the engine, which hands over the stream of the agent's `Export`. The stream is made by a hostile guest:
//! every entry is checked before it is used, nothing is ever extracted, and memory is bounded by [`Limits`]. It
//! does not know the runner, and prints nothing.

mod archive;
mod entry;
#[cfg(test)]
mod hostile;
mod limits;
mod pax;
mod reader;
mod refusal;
mod staged_file;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

pub use archive::{Artifact, Normalization, Package, check_writable, collect};
pub use entry::{Entry, Kind, Time};
pub use limits::Limits;
pub use reader::Reader;
pub(crate) use staged_file::Directory;
pub(crate) use tree::check_path;
pub(crate) use writer::Writer;
