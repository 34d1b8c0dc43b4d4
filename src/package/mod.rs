//! Makes packages of the files that a build has installed: the guest's tar stream in, an archive for each package out.
//!
//! ```text
//! stream --reader--> Entry --tree (is it safe?)--> Entry, relative to its package --writer--> staged file --publish--> <out_dir>/…
//! ```
//!
//! Before it stands the engine, which hands over the stream of the agent's `Export`. The stream is made by a hostile guest:
//! every entry is checked before it is used, nothing is ever extracted, and memory is bounded by [`Limits`]. It
//! does not know the runner, and prints nothing.

mod apk;
mod artifact;
#[cfg(test)]
mod cases;
mod collect;
pub mod configuration;
mod date;
pub mod dependencies;
mod digest;
mod entry;
pub mod facts;
mod fault;
#[cfg(test)]
mod hostile;
pub mod license;
mod limits;
pub mod lint;
pub mod logs;
mod out_dir;
mod pax;
pub mod provenance;
mod reader;
mod refusal;
pub mod sbom;
mod splitter;
mod staged_file;
mod tar_zst;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

pub use apk::{ApkForm, check_index};
pub(crate) use apk::{load_index, unusable_index};
pub use artifact::{Artifact, Collected, IndexFile, Normalization, Package};
pub use collect::{Form, Job, collect};
pub use entry::{Entry, Kind, Time};
pub use limits::Limits;
pub use out_dir::check_writable;
pub use reader::Reader;
pub(crate) use staged_file::Directory;
pub(crate) use tree::check_path;
pub(crate) use writer::Writer;
