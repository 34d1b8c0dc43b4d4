//! Counts what steps read of a directory: the regular files that were there before them, each once.
//!
//! Before it: a world that stands ([`Directory`]), the agent's own or, for kiln as root, a container's. After it: [`Reads`].
//!
//! The kernel tells of each file that was closed after it had been opened for reading only ([`events`]), whatever the step did
//! with it: read(2), mmap(2), sendfile(2), execve(2), or nothing. Nobody waits for us, and what a step does it cannot see. Files that
//! are open still when the count is asked for are found in /proc ([`held_open`]).
//!
//! We look at a file some time after it was closed. So what decides whether it counts must not depend on that time: whether
//! it was there before, which later changes do not alter ([`before`]), and whether it was read before it was written, which is the
//! order of the events. Where neither can be told of a file, it is not counted, and the count says so: it is never quietly
//! another number in the next build.
//!
//! Not told of is what a step reads of a bind mount in a mount namespace that it made for itself.
//!
//! Each event is a file that the kernel opens for us, which costs a share as much as the step's own opening. So a file
//! that was looked at once is not told of again, and few are looked at between two other things that whoever counts does.

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

/// What is known of reads.
pub enum Reader {
    /// Nobody asked.
    Unasked,
    /// There is nothing that could be read.
    NothingThere,
    /// They cannot be counted: a sentence.
    Unable(String),
    /// They are counted.
    Counts(Box<Count>),
}

impl Reader {
    /// Begins to count in a directory, if it is one that can be looked at.
    pub fn of(directory: Result<Directory>) -> Self {
        match directory.and_then(Count::begin) {
            Ok(Some(count)) => Self::Counts(Box::new(count)),
            Ok(None) => Self::NothingThere,
            Err(error) => Self::Unable(format!("{error:#}")),
        }
    }

    /// What to wait for before [`Self::take`].
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Unasked | Self::NothingThere | Self::Unable(_) => None,
            Self::Counts(count) => Some(count.waits_for()),
        }
    }

    /// Looks at some of what has been read.
    pub fn take(&mut self) {
        if let Self::Counts(count) = self {
            count.take();
        }
    }

    /// What has been read until now.
    pub fn answer(&mut self) -> Reads {
        match self {
            Self::Unasked => Reads::Unknown("nobody asked for it before the steps".into()),
            Self::NothingThere => Reads::Counted(Counted::default()),
            Self::Unable(why) => Reads::Unknown(why.clone()),
            Self::Counts(count) => Reads::Counted(count.answer()),
        }
    }
}
