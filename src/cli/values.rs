//! Values of options that are more than words: read while the command line is, so that no text travels further.

use std::{ffi::OsStr, time::Duration};

use clap::{Arg, Command, Error, builder::TypedValueParser};

use crate::{
    cache::CommitLimit,
    exit::Failure,
    manifest::duration,
    plan::{Bytes, ImageReference, parse_bytes},
    sources::FetchLimit,
};

/// Reads a value by a function of its text and the name of its option, such as `--memory`. The failure is the source of clap's
/// error.
#[derive(Debug)]
pub(super) struct Checked<T>(pub(super) fn(&str, &str) -> Result<T, Failure>);

impl<T> Clone for Checked<T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Checked<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let option = argument.and_then(Arg::get_long).map_or_else(String::new, |long| format!("--{long}"));
        let read = self.0;
        (move |text: &str| read(text, &option)).parse_ref(command, argument, value)
    }
}

/// A reference to an image.
pub(super) fn image_reference() -> Checked<ImageReference> {
    Checked(|text, _| ImageReference::parse(text))
}

/// A duration such as `90s`.
pub(super) fn duration(text: &str, option: &str) -> Result<Duration, Failure> {
    duration::parse(text).ok_or_else(|| {
        let what = format!("{option}: {text:?} is not a duration");
        Failure::usage(what, "write a duration such as 90s, 10m or 1h30m")
    })
}

/// A size such as `4Gi`, or 0.
pub(super) fn size_or_zero(text: &str, option: &str) -> Result<Bytes, Failure> {
    if text == "0" { Ok(Bytes(0)) } else { parse_bytes(text, option) }
}

/// `SIZE[,ENTRIES]`.
pub(super) fn commit_limit(text: &str, option: &str) -> Result<CommitLimit, Failure> {
    let default = CommitLimit::default();
    let (size, entries) = match text.split_once(',') {
        Some((size, entries)) => (size, entries.trim().parse().ok()),
        None => (text, Some(default.entries)),
    };
    let entries = entries.ok_or_else(|| {
        let what = format!("{option}: {text:?} has no number of entries after its comma");
        Failure::usage(what, "write a size, or a size and a number: 8Gi,200000")
    })?;
    Ok(CommitLimit { bytes: parse_bytes(size, option)?.0, entries })
}

/// `SIZE[,TOTAL]`.
pub(super) fn fetch_limit(text: &str, option: &str) -> Result<FetchLimit, Failure> {
    let (each, total) = match text.split_once(',') {
        Some((each, total)) => (each, Some(parse_bytes(total, option)?.0)),
        None => (text, None),
    };
    let each = parse_bytes(each, option)?.0;
    Ok(FetchLimit { each, total: total.unwrap_or_else(|| FetchLimit::default().total.max(each)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_limit_is_a_size_and_perhaps_a_number() {
        let limit = |bytes, entries| Ok(CommitLimit { bytes, entries });
        assert_eq!(commit_limit("8Gi", "--x"), limit(8 << 30, 1 << 20));
        assert_eq!(commit_limit("1Mi,20", "--x"), limit(1 << 20, 20));
        for text in ["", "many", "1Gi,", "1Gi,x"] {
            assert!(commit_limit(text, "--x").is_err(), "{text}");
        }
    }

    #[test]
    fn a_fetch_limit_is_a_size_and_perhaps_a_total() {
        let fetch_limit = |text| fetch_limit(text, "--limit");
        let limit = |each, total| Ok(FetchLimit { each, total });
        assert_eq!(fetch_limit("16Gi,64Gi"), Ok(FetchLimit::default()));
        assert_eq!(fetch_limit("1Mi"), limit(1 << 20, 64 << 30));
        assert_eq!(fetch_limit("100Gi"), limit(100 << 30, 100 << 30));
        assert_eq!(fetch_limit("1Gi,2Gi"), limit(1 << 30, 2 << 30));
        for text in ["", "-1", "many", "1Gi,", "1Gi,x", "0", "1Gi,2Gi,3Gi"] {
            assert!(fetch_limit(text).is_err(), "{text}");
        }
    }
}
