//! A command line that cannot be read: what is printed, and the exit code.

use std::{env::args_os, error::Error as _, process::ExitCode};

use clap::{
    Error, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{build, guest};
use crate::{
    event::{Phases, Sink},
    exit::{Code, Failure},
    report::{self, OutputStreams, Progress, Reporter},
};

/// Prints the error, or the help that was asked for.
pub(super) fn refuse(error: Error) -> ExitCode {
    let code = match error.use_stderr() {
        false => Code::Success as u8,
        true if is_command(&["run", "shell"]) => guest::OWN_FAILURE,
        true => Code::Usage as u8,
    };
    match (not_utf8(&error), wrong_value(&error)) {
        (Some(failure), _) => report::error(&failure.into()),
        (None, Some(failure)) if is_command(&["build"]) => end_build(failure),
        (None, Some(failure)) => report::error(&failure.into()),
        // clap prints help and version to stdout, errors to stderr.
        // best effort: there is nowhere else to say it.
        (None, None) => drop(with_tip(error).print()),
    }
    ExitCode::from(code)
}

/// Whether the command line is one of these commands.
fn is_command(names: &[&str]) -> bool {
    args_os().nth(1).is_some_and(|first| names.iter().any(|name| first == *name))
}

/// The argument that is not UTF-8, where that is the error.
fn not_utf8(error: &Error) -> Option<Failure> {
    let wrong = || args_os().skip(1).enumerate().find(|(_, argument)| argument.to_str().is_none());
    let (at, argument) = (error.kind() == ErrorKind::InvalidUtf8).then(wrong)??;
    let what = format!("argument {} is not UTF-8: {}", at + 1, argument.display());
    Some(Failure::usage(what, "only names of files and directories may have other bytes"))
}

/// The failure of the value of an option, where that is the error.
fn wrong_value(error: &Error) -> Option<Failure> {
    error.source()?.downcast_ref::<Failure>().cloned()
}

/// A build that cannot begin ends with an event, too.
fn end_build(failure: Failure) {
    let event = build::finished(&Err(failure.into()), Phases::begin("plan"), None);
    Reporter::new(progress(), OutputStreams::of_process()).emit(event);
}

/// `--progress` of a command line that could not be read as a whole.
fn progress() -> Progress {
    let words: Vec<String> = args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let after = words.windows(2).find(|pair| pair[0] == "--progress").map(|pair| pair[1].as_str());
    let value = after.or_else(|| words.iter().find_map(|word| word.strip_prefix("--progress=")));
    let is_quiet = words.iter().any(|word| word == "-q" || word == "--quiet");
    let otherwise = if is_quiet { Progress::Quiet } else { Progress::Auto };
    value.and_then(|value| Progress::from_str(value, false).ok()).unwrap_or(otherwise)
}

/// Explains the mistake in `kiln run ls`.
fn with_tip(mut error: Error) -> Error {
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if !word.starts_with('-') => word.clone(),
        _ => return error,
    };
    if is_command(&["run"]) && error.kind() == ErrorKind::UnknownArgument {
        let tip = format!("the command stands after `--`: kiln run -- {word}").into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}
