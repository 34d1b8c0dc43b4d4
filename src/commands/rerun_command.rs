//! The user's own command line with a change that opens a shell, for the way out of an error.

use std::ffi::OsString;

use crate::{
    cli::{BuildArgs, MachineArgs},
    plan::shell_quoted,
};

/// The `kiln build …` that was given without `-i`, with it.
pub(super) fn interactive(arguments: impl Iterator<Item = OsString>) -> String {
    let words = words(arguments);
    match words.iter().position(|word| word == "build") {
        Some(at) => [&words[..=at], &["-i".to_owned()], &words[at + 1..]].concat().join(" "),
        None => "kiln build -i".into(),
    }
}

/// The `kiln shell` for the guest of a build, with `source` as its workspace.
pub(super) fn shell(args: &BuildArgs, source: &str) -> String {
    let MachineArgs { runner, image, .. } = &args.machine;
    let file = args.file.as_ref().map(|file| file.display().to_string());
    let named = file.into_iter().chain(["--runner".into(), runner.name().into()]);
    let image = image.iter().flat_map(|image| ["--image".to_owned(), image.to_string()]);
    let words = named.chain(image).chain(["--source-dir".into(), source.into()]);
    words.fold("kiln shell".into(), |line, word| format!("{line} {}", quoted(&word)))
}

/// Each word, quoted for a shell.
fn words(arguments: impl Iterator<Item = OsString>) -> Vec<String> {
    arguments.map(|word| quoted(&word.to_string_lossy())).collect()
}

/// A word, quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,=:+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { shell_quoted(word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> impl Iterator<Item = OsString> {
        words.iter().map(OsString::from).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_command_line_gets_the_flag_for_a_shell() {
        let line =
            ["bin/kiln", "--log-level", "info", "build", "--keep-on-failure", "a b.yaml", "--cache-dir", ""];
        assert_eq!(
            interactive(given(&line)),
            "bin/kiln --log-level info build -i --keep-on-failure 'a b.yaml' --cache-dir ''"
        );
    }

    #[test]
    fn a_word_is_one_word_for_a_shell() {
        assert_eq!(
            (quoted("a-b"), quoted("it's"), quoted("")),
            ("a-b".into(), r"'it'\''s'".into(), "''".into())
        );
    }
}
