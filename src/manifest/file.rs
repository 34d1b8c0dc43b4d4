//! A file of the user → its text: UTF-8, and no more of it than a build file may have.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use super::{
    diagnostic::{Diagnostic, Source},
    text::Position,
    yaml::MAX_BYTES,
};
use crate::input;

/// Reads a build file, a definition or a file of variables.
///
/// # Errors
/// A file that cannot be read, or is not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, Diagnostic> {
    text(path, bytes(path).map_err(|error| unreadable(path, &error))?)
}

/// The bytes of a file; of one without an end just enough to see that it is too long.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    input::read(path, MAX_BYTES)
}

/// The fault of a file that cannot be read.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let fault = Source::new(path, "").diagnostic(Position::default(), format!("cannot be read: {error}"));
    match error.kind() {
        ErrorKind::NotFound if path.is_relative() => {
            fault.hint("name a file that is there, from the current directory")
        }
        ErrorKind::NotFound => fault.hint("name a file that is there"),
        ErrorKind::IsADirectory => fault.hint("name a file in it"),
        ErrorKind::PermissionDenied => fault.hint("let this user read it"),
        _ => fault,
    }
}

/// The text that the bytes of a file are.
///
/// # Errors
/// The first byte that is not UTF-8, with its place.
pub(crate) fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Diagnostic> {
    if bytes.len() > MAX_BYTES {
        let message = format!("is too long: the limit is {MAX_BYTES} bytes");
        return Err(Source::new(path, "").diagnostic(Position::default(), message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let before = String::from_utf8_lossy(&bytes[..valid]);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let line = before.split('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let at = Position { line: number(line), column: number(column) };
        let message =
            format!("the byte 0x{:02x} is not UTF-8", bytes.get(valid).copied().unwrap_or_default());
        Source::new(path, &String::from_utf8_lossy(bytes))
            .diagnostic(at, message)
            .hint("save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_not_utf_8_is_shown_where_it_stands() {
        let fault =
            text(Path::new("a.yaml"), b"a: 1\nb: \xc3\xa9 \xff!\n".to_vec()).expect_err("it is Latin-1");
        let wanted = "a.yaml:2:6: the byte 0xff is not UTF-8\n  |\n2 | b: é \u{fffd}!\n  |      ^\n  = save the file as UTF-8";
        assert_eq!(fault.to_string(), wanted);
        assert_eq!(text(Path::new("a.yaml"), b"a: \xc3\xa9".to_vec()), Ok("a: é".to_owned()));
    }

    #[test]
    fn a_file_without_an_end_is_too_long() {
        let fault = read(Path::new("/dev/zero")).expect_err("it never ends");
        assert_eq!(fault.to_string(), "/dev/zero: is too long: the limit is 4194304 bytes");
    }

    #[test]
    fn a_path_that_is_not_a_file_is_an_error() {
        let fault = read(Path::new("/")).expect_err("it is a directory");
        assert_eq!(
            fault.to_string(),
            "/: cannot be read: Is a directory (os error 21)\n  = name a file in it"
        );
    }
}
