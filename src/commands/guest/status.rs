//! The exit code of `kiln run` and `kiln shell`: the command's own status, or a code for kiln's own errors.

use anyhow::{Error, Result};
use kiln_protocol::ExitStatus;

use crate::{
    engine::ReaderGone,
    exit::{Code, code_of},
};

/// kiln itself failed: the code of `docker run` in that case.
pub(in crate::commands) const OWN_FAILURE: u8 = 125;
/// The command reached its time limit: the code of timeout(1).
const TIMED_OUT: u8 = 124;
/// The reader of its output has gone away: 128 + SIGPIPE.
const READER_GONE: u8 = 141;

/// The status of the command, as a shell gives it.
///
/// # Errors
/// The error of a kiln that could not run it.
pub(in crate::commands) fn exit_code(ended: Result<ExitStatus>) -> Result<u8> {
    match ended {
        Ok(ExitStatus::Code(code)) => Ok(u8::try_from(code).unwrap_or(OWN_FAILURE)),
        Ok(ExitStatus::Signal(signal)) => Ok(u8::try_from(128 + signal).unwrap_or(OWN_FAILURE)),
        Ok(ExitStatus::TimedOut) => Ok(TIMED_OUT),
        Ok(ExitStatus::Cancelled) => Ok(OWN_FAILURE),
        Err(error) if error.is::<ReaderGone>() => Ok(READER_GONE),
        Err(error) => Err(error),
    }
}

/// The exit code for an error of kiln itself.
pub(in crate::commands) fn code_of_error(error: &Error) -> u8 {
    match code_of(error) {
        code @ (Code::Interrupted | Code::Terminated) => code as u8,
        _ => OWN_FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Failure;

    #[test]
    fn a_command_ends_as_under_a_shell() {
        let cases = [
            (ExitStatus::Code(0), 0),
            (ExitStatus::Code(255), 255),
            (ExitStatus::Signal(9), 137),
            (ExitStatus::TimedOut, 124),
            (ExitStatus::Cancelled, 125),
        ];
        for (status, code) in cases {
            assert_eq!(exit_code(Ok(status)).expect("a status"), code, "{status:?}");
        }
        assert_eq!(exit_code(Err(ReaderGone.into())).expect("a status"), 141);
    }

    #[test]
    fn kilns_own_errors_are_125_but_for_signals() {
        assert_eq!(code_of_error(&Failure::host("no qemu", "").into()), 125);
        assert_eq!(code_of_error(&Failure::new(Code::Interrupted, "interrupted", "").into()), 130);
    }
}
