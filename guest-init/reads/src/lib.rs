//! Counts which files of a directory steps read: the regular files that existed before, each once.
//!
//! Before it: the mounts of a prepared guest ([`Directory`]), the agent's own or, for kiln as root, a container's. After it:
//! [`Reads`].
//!
//! The kernel reports each file that was closed after it had been opened for reading only ([`events`]), whatever the step did
//! with it: read(2), mmap(2), sendfile(2), execve(2), or nothing. Steps do not wait for us. Files that are still open at the time of
//! the count are found in /proc ([`held_open`]).
//!
//! We look at a file some time after it was closed, so the result must not depend on that time. A file counts if it existed before,
//! which later changes do not alter ([`before`]), and was read before it was written, by the order of the events. Where that is not
//! known, the file is not counted, and the count says so: the next build does not silently report another number.
//!
//! Reads through a bind mount in a mount namespace that a step has made are not reported.
//!
//! For each event the kernel opens the file for us, which costs as much on a share as the step's own open(2). So a file is reported
//! only once, and few events are taken at a time.

mod before;
mod count;
mod directory;
mod events;
mod held_open;
mod hidden;
mod inside;
mod mountinfo;

use std::os::fd::BorrowedFd;

use anyhow::Result;
use kiln_protocol::{Counted, Reads};

pub use self::{
    before::Layers,
    count::Count,
    directory::{Directory, open},
    mountinfo::unescape,
};

/// A counter of reads.
pub enum Reader {
    /// Counting was not requested.
    Off,
    /// There is no file that could be read.
    NothingThere,
    /// They cannot be counted, for the reason in this sentence.
    Unable(String),
    /// They are counted.
    Counts(Box<Count>),
}

impl Reader {
    /// Begins to count in a directory, if that is possible.
    pub fn of(directory: Result<Directory>) -> Self {
        match directory.and_then(Count::begin) {
            Ok(Some(count)) => Self::Counts(Box::new(count)),
            Ok(None) => Self::NothingThere,
            Err(error) => Self::Unable(format!("{error:#}")),
        }
    }

    /// The descriptor to poll before [`Self::take`].
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Off | Self::NothingThere | Self::Unable(_) => None,
            Self::Counts(count) => Some(count.waits_for()),
        }
    }

    /// Takes some events.
    pub fn take(&mut self) {
        if let Self::Counts(count) = self {
            count.take();
        }
    }

    /// The count until now.
    pub fn answer(&mut self) -> Reads {
        match self {
            Self::Off => Reads::Unknown("tracking was not requested before the steps".into()),
            Self::NothingThere => Reads::Counted(Counted::default()),
            Self::Unable(why) => Reads::Unknown(why.clone()),
            Self::Counts(count) => Reads::Counted(count.answer()),
        }
    }
}
