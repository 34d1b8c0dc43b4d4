//! How kiln ends: its exit codes, and the failures that a user can fix.
//!
//! Errors are [`anyhow::Error`]s. If the user can fix one, a [`Failure`] in its chain has the exit code; an error without a
//! failure is a defect of kiln (1).

use std::{
    fmt,
    io::{self, ErrorKind},
};

use nix::errno::Errno;

use serde::Serialize;

/// kiln's exit codes; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// Success.
    Success = 0,
    /// A defect of kiln itself. `kiln bench compare --fail-on-regression` exits with 1 for a regression, as diff(1) does for a
    /// difference: nothing is wrong then, so there is no [`Failure`].
    Defect = 1,
    /// The command line or an environment variable is wrong.
    Usage = 2,
    /// The build file is invalid.
    BuildFile = 3,
    /// Something on the host is missing or unusable.
    Host = 4,
    /// A step failed.
    Step = 5,
    /// A time-out expired.
    Timeout = 6,
    /// The cache directory.
    Cache = 7,
    /// Packaging or lint.
    Package = 8,
    /// SIGINT (128 + 2).
    Interrupted = 130,
    /// SIGTERM (128 + 15).
    Terminated = 143,
}

impl Code {
    /// The code with this number; [`Self::Defect`] for a number that is none.
    pub fn of_status(status: u8) -> Self {
        let all = [
            Self::Success,
            Self::Defect,
            Self::Usage,
            Self::BuildFile,
            Self::Host,
            Self::Step,
            Self::Timeout,
            Self::Cache,
            Self::Package,
            Self::Interrupted,
            Self::Terminated,
        ];
        all.into_iter().find(|code| *code as u8 == status).unwrap_or(Self::Defect)
    }
}

/// An error that a user can fix: the code, what and why, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// The fault, its place and its cause: lower case, no full stop.
    pub what: String,
    /// How to fix it, as a sentence; empty if there is nothing to add.
    pub way_out: String,
    /// The faults with their places in files; `what` has all of them.
    pub faults: Vec<Fault>,
}

/// A fault of a file, for a program that shows it at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, as the user named it.
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The fault.
    pub message: String,
    /// How to fix it, if that is known.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with its way out.
    pub fn new(code: Code, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { code, what: what.into(), way_out: way_out.into(), faults: Vec::new() }
    }

    /// The command line or an environment variable is wrong (2).
    pub fn usage(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(Code::Usage, what, way_out)
    }

    /// The build file is invalid (3).
    pub fn build_file(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(Code::BuildFile, what, way_out)
    }

    /// Something on the host is missing or unusable (4).
    pub fn host(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(Code::Host, what, way_out)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// The exit code of an error: that of the outermost [`Failure`] in its chain, else that of a full file system, else
/// [`Code::Defect`].
pub fn code_of(error: &anyhow::Error) -> Code {
    match failure_of(error) {
        Some(failure) => failure.code,
        None if is_full(error) => Code::Host,
        None => Code::Defect,
    }
}

/// The way out of an error, if it has one.
pub fn way_out_of(error: &anyhow::Error) -> Option<&str> {
    match failure_of(error) {
        Some(failure) => Some(failure.way_out.as_str()).filter(|text| !text.is_empty()),
        None => is_full(error).then_some("make room on the file system of that path"),
    }
}

/// Whether a file system of the host had no room, or the user's quota was used up. Any write may fail so: it is recognised
/// here, not at each of them.
fn is_full(error: &anyhow::Error) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| full.contains(&error.kind()))
            || matches!(cause.downcast_ref(), Some(Errno::ENOSPC | Errno::EDQUOT))
    })
}

/// The faults in files that an error has.
pub fn faults_of(error: &anyhow::Error) -> Vec<Fault> {
    failure_of(error).map(|failure| failure.faults.clone()).unwrap_or_default()
}

/// An error with a failure, unless its chain has one.
pub fn explained(error: anyhow::Error, failure: impl FnOnce() -> Failure) -> anyhow::Error {
    if failure_of(&error).is_some() { error } else { error.context(failure()) }
}

fn failure_of(error: &anyhow::Error) -> Option<&Failure> {
    // `downcast_ref` sees a failure that was attached as context, too; the chain sees one that is a source.
    error
        .downcast_ref::<Failure>()
        .or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<Failure>()))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_code_is_found_below_and_above_other_context() {
        let failure = Failure::host("no qemu", "apt-get install qemu-system-x86");
        let below = anyhow::Error::new(failure.clone()).context("start the guest");
        assert_eq!(code_of(&below), Code::Host);
        let above = Err::<(), _>(io::Error::other("gone")).context(failure).context("start").unwrap_err();
        assert_eq!(code_of(&above), Code::Host);
        assert_eq!(way_out_of(&above), Some("apt-get install qemu-system-x86"));
    }

    #[test]
    fn a_full_file_system_is_the_hosts_and_no_defect() {
        for errno in [Errno::ENOSPC, Errno::EDQUOT] {
            for error in [anyhow::Error::new(io::Error::from(errno)), anyhow::Error::new(errno)] {
                let error = error.context("write /small/file");
                assert_eq!(code_of(&error), Code::Host);
                assert!(way_out_of(&error).is_some_and(|text| text.contains("make room")));
            }
        }
        let named =
            anyhow::Error::new(Errno::ENOSPC).context(Failure::new(Code::Cache, "the cache is full", ""));
        assert_eq!((code_of(&named), way_out_of(&named)), (Code::Cache, None));
    }

    #[test]
    fn what_has_a_way_out_gets_no_other_one() {
        let inner = anyhow::Error::new(Failure::host("no qemu", "apt-get install qemu-system-x86"));
        let cache = || Failure::new(Code::Cache, "the cache is full", "make room");
        assert_eq!(code_of(&explained(inner, cache)), Code::Host);
        let error = explained(anyhow::anyhow!("ENOSPC"), cache);
        assert_eq!((code_of(&error), way_out_of(&error)), (Code::Cache, Some("make room")));
        assert_eq!(format!("{error:#}"), "the cache is full: ENOSPC");
    }

    #[test]
    fn an_error_that_nobody_can_mend_is_a_defect() {
        assert_eq!(code_of(&anyhow::anyhow!("broken")), Code::Defect);
    }
}
