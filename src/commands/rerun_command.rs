//! The user's own command line with a change that opens a shell, for the way out of an error.

use std::{ffi::OsString, os::unix::ffi::OsStrExt};

use crate::{
    cli::{BuildArgs, MachineArgs},
    login,
    plan::shell_quoted,
};

/// The `kiln build …` that was given without `-i`, with it. For one of several build files it is the command that builds only this one.
pub(super) fn interactive(arguments: impl Iterator<Item = OsString>, args: &BuildArgs) -> String {
    let words = match &args.job {
        None => words(arguments),
        Some(file) => {
            let is_other = |word: &OsString| {
                word.as_bytes().starts_with(b"--job=")
                    || args.files.iter().any(|file| file.as_os_str() == word)
            };
            let kept = arguments.skip(1).filter(|word| !is_other(word));
            words(["kiln".into()].into_iter().chain(kept).chain([file.into()]))
        }
    };
    match words.iter().position(|word| word == "build") {
        Some(at) => [&words[..=at], &["-i".to_owned()], &words[at + 1..]].concat().join(" "),
        None => "kiln build -i".into(),
    }
}

/// The `kiln shell` for the guest of a build, with `source` as its workspace.
pub(super) fn shell(args: &BuildArgs, source: &str) -> String {
    let MachineArgs { runner, image, .. } = &args.machine;
    let file = args.job.as_ref().or(args.files.first()).map(|file| file.display().to_string());
    let named = file.into_iter().chain(["--runner".into(), runner.name().into()]);
    let image = image.iter().flat_map(|image| ["--image".to_owned(), image.to_string()]);
    let words = named.chain(image).chain(["--source-dir".into(), source.into()]);
    words.fold("kiln shell".into(), |line, word| format!("{line} {}", quoted(&word)))
}

/// Each word, quoted for a shell. Errors and logs have the line: it has no name and password of an address.
fn words(arguments: impl Iterator<Item = OsString>) -> Vec<String> {
    arguments.map(|word| quoted(&login::hide(&word.to_string_lossy(), "***@"))).collect()
}

/// A word, quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,=:+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { shell_quoted(word) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(words: &[&str]) -> BuildArgs {
        match Cli::parse_from(words).command {
            Command::Build(args) => *args,
            other => panic!("{other:?} is no build"),
        }
    }

    fn given(words: &[&str]) -> impl Iterator<Item = OsString> {
        words.iter().map(OsString::from).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_command_line_gets_the_flag_for_a_shell() {
        let line =
            ["bin/kiln", "--log-level", "info", "build", "--keep-on-failure", "a b.yaml", "--cache-dir", ""];
        assert_eq!(
            interactive(given(&line), &args(&line)),
            "bin/kiln --log-level info build -i --keep-on-failure 'a b.yaml' --cache-dir ''"
        );
    }

    #[test]
    fn a_login_is_not_repeated() {
        let line =
            ["kiln", "build", "-r", "@t http://me:secret@h.example.org/os", "-k=https://me@h/k", "a.yaml"];
        let line = interactive(given(&line), &args(&line));
        assert_eq!(line, "kiln build -i -r '@t http://***@h.example.org/os' '-k=https://***@h/k' a.yaml");
    }

    #[test]
    fn one_of_several_builds_is_repeated_alone() {
        let line = ["/proc/self/exe", "build", "--job=d/b.yaml", "--jobs", "2", "a.yaml", "d"];
        assert_eq!(interactive(given(&line), &args(&line)), "kiln build -i --jobs 2 d/b.yaml");
    }

    #[test]
    fn a_word_is_one_word_for_a_shell() {
        assert_eq!(
            (quoted("a-b"), quoted("it's"), quoted("")),
            ("a-b".into(), r"'it'\''s'".into(), "''".into())
        );
    }
}
