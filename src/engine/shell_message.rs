//! The last message of a step's shell: `/run/kiln-step: line 3: cmake: command not found`, of bash, dash and busybox.
//!
//! The text is not trusted: names are short and of few characters, everything else becomes one of a few values.

use crate::plan::FRAGMENT;

/// The longest name that is shown, in bytes.
const LONGEST_NAME: usize = 80;

/// Why a shell could not run a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// No directory of `PATH` has it.
    NotFound,
    /// The path does not exist, or the file names an interpreter or loader that does not exist.
    NoSuchFile,
    /// It may not be executed.
    Permission,
    /// This machine cannot run it.
    Format,
    /// It is a directory.
    Directory,
}

/// The ends of their messages. Shells do not translate them: a step has the locale C unless its build file sets another.
const REASONS: [(&str, Reason); 9] = [
    (": command not found", Reason::NotFound),
    (": not found", Reason::NotFound),
    (": bad interpreter: No such file or directory", Reason::NoSuchFile),
    (": cannot execute: required file not found", Reason::NoSuchFile),
    (": No such file or directory", Reason::NoSuchFile),
    (": Permission denied", Reason::Permission),
    (": cannot execute binary file: Exec format error", Reason::Format),
    (": Exec format error", Reason::Format),
    (": Is a directory", Reason::Directory),
];

/// The shell's last message about a program: its name, if it can be shown, and why it could not be run.
pub(super) fn last(lines: &[String]) -> Option<(Option<String>, Reason)> {
    let said = lines.iter().rev().find_map(|line| of_shell(line))?;
    let (head, reason) = REASONS.iter().find_map(|(end, reason)| Some((said.strip_suffix(end)?, *reason)))?;
    // After the name bash names the missing interpreter.
    let name = head.split(": ").next().unwrap_or_default();
    Some((shown(name, "._+/@-"), reason))
}

/// The shared library that the loader did not find for a program: it ends with 127 as well.
pub(super) fn missing_library(lines: &[String]) -> Option<String> {
    let rest = |line: &String| {
        let (_, rest) = line.split_once(": error while loading shared libraries: ")?;
        let (name, why) = rest.split_once(": ")?;
        why.starts_with("cannot open shared object file").then(|| name.to_owned())
    };
    shown(&lines.iter().rev().find_map(rest)?, "._+-")
}

/// The text after the shell's own name and the line of the script.
fn of_shell(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(FRAGMENT)?.strip_prefix(": ")?;
    let rest = rest.strip_prefix("line ").unwrap_or(rest);
    let (number, said) = rest.split_once(": ")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(said)
}

/// A name that is safe in a message: short, and of letters, digits and the characters of `also`.
fn shown(name: &str, also: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    (!name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fits)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_shell_names_the_program() {
        for (line, name, reason) in [
            ("/run/kiln-step: line 3: cmake: command not found", "cmake", Reason::NotFound),
            ("/run/kiln-step: 3: cmake: not found", "cmake", Reason::NotFound),
            ("/run/kiln-step: line 3: cmake: not found", "cmake", Reason::NotFound),
            ("/run/kiln-step: line 1: ./x: No such file or directory", "./x", Reason::NoSuchFile),
            (
                "/run/kiln-step: line 1: ./x: cannot execute: required file not found",
                "./x",
                Reason::NoSuchFile,
            ),
            (
                "/run/kiln-step: line 1: ./x: /usr/bin/python9: bad interpreter: No such file or directory",
                "./x",
                Reason::NoSuchFile,
            ),
            ("/run/kiln-step: line 9: ./configure: Permission denied", "./configure", Reason::Permission),
            (
                "/run/kiln-step: line 9: bin/g++-12: cannot execute binary file: Exec format error",
                "bin/g++-12",
                Reason::Format,
            ),
            ("/run/kiln-step: line 9: ./src: Is a directory", "./src", Reason::Directory),
        ] {
            let lines = said(&format!("before\n{line}\nafter"));
            assert_eq!(last(&lines), Some((Some(name.into()), reason)), "{line}");
        }
    }

    #[test]
    fn a_made_up_name_is_not_shown() {
        let long = "x".repeat(LONGEST_NAME + 1);
        for name in ["", "a b", "\u{1b}[31mred", "\u{202e}gpj", "$(id)", "`id`", "a\\b", "ünder", &long] {
            let lines = said(&format!("/run/kiln-step: line 1: {name}: command not found"));
            assert_eq!(last(&lines), Some((None, Reason::NotFound)), "{name}");
        }
        for line in [
            "cmake: command not found",
            "sh: line 1: cmake: command not found",
            "/run/kiln-step: line : cmake: command not found",
            "/run/kiln-step: line x: cmake: command not found",
            "/run/kiln-step: line 1: something else",
            "/run/kiln-step2: line 1: cmake: command not found",
            "",
        ] {
            assert_eq!(last(&said(line)), None, "{line}");
        }
    }

    #[test]
    fn only_the_shells_last_message_counts() {
        let first = "/run/kiln-step: line 1: optional-tool: command not found";
        let lines = said(&format!("{first}\n/run/kiln-step: line 2: x: unbound variable"));
        assert_eq!(last(&lines), None);
    }

    #[test]
    fn a_missing_library_is_told_from_a_missing_program() {
        let line = |name: &str, why: &str| {
            said(&format!("/usr/bin/tool: error while loading shared libraries: {name}: {why}"))
        };
        let why = "cannot open shared object file: No such file or directory";
        assert_eq!(missing_library(&line("libfoo-1.2.so.3", why)), Some("libfoo-1.2.so.3".into()));
        assert_eq!(missing_library(&line("lib foo", why)), None);
        assert_eq!(missing_library(&line("libfoo.so.1", "invalid ELF header")), None);
    }
}
