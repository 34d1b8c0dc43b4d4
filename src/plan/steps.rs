//! A fragment of a build file -> the command that the agent runs, and the file with the fragment that the command reads.
//!
//! The fragment has a file of its own so that it cannot change the script around it, that line numbers of the shell are those of
//! the fragment, and that the size of arguments (`ARG_MAX`) does not limit it.

use kiln_protocol::{IfExists, Step, TextFile};

use super::{OUTPUT, Origin, Trace};
use crate::{ecosystem::Ecosystem, exit::Failure};

/// A step, with its package and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// Its label.
    pub name: String,
    /// The package or subpackage.
    pub package: String,
    /// Its position in the build file or in a definition.
    pub origin: Origin,
    /// The position of the `uses` in the build file, if the step is from a definition.
    pub used_at: Option<Origin>,
    /// Its script from the build file, with variables substituted.
    pub fragment: String,
    /// The directory in which the script starts; absolute.
    pub directory: String,
    /// The request to the agent.
    pub step: Step,
}

impl PlannedStep {
    /// Its position in the build file.
    pub fn place(&self) -> &Origin {
        self.used_at.as_ref().unwrap_or(&self.origin)
    }
}

/// The file of a step's fragment while the step runs. The shell names it in its messages. `/run` belongs to root, so no other
/// user can replace the file.
pub const FRAGMENT: &str = "/run/kiln-step";

/// The longest fragment in bytes: the agent accepts 16 MiB for a step with its environment, and a build file has at most 4.
const MAX_FRAGMENT: usize = 8 << 20;

/// The text after the fragment in its file. As in melange, a script that reaches its end succeeds, even if its last command is an
/// `&&` whose left side failed. The text cannot be a part of the frame: there `set -e` would see the status of the file. The two
/// line feeds end a line with a trailing backslash; other incomplete scripts are refused when the build file is compiled.
const END: &str = "\n\n:\n";

/// The search path of every step, as melange sets it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/sbin:/sbin:/bin";

/// The search path: wrappers of compilers come first.
pub(super) fn path(also: &[&Ecosystem]) -> String {
    let first = also.iter().flat_map(|ecosystem| ecosystem.path.iter().copied());
    first.chain([PATH]).collect::<Vec<_>>().join(":")
}

/// The script around a fragment: it runs the fragment in its directory, and fails at the first error.
///
/// `new_package` is a package whose output directory the step makes: the first step of a subpackage does so.
pub(super) fn frame(directory: &str, new_package: Option<&str>, trace: Trace) -> String {
    let x = match trace {
        Trace::On => "x",
        Trace::Off => "",
    };
    let output = new_package
        .map_or(String::new(), |name| format!("mkdir -p {}\n", quote(&format!("{OUTPUT}/{name}"))));
    let directory = quote(directory);
    format!(
        "set -e{x}o pipefail\n{output}[ -d {directory} ] || mkdir -p {directory}\ncd {directory}\n. {FRAGMENT}\n"
    )
}

/// The file that the frame reads.
///
/// # Errors
/// A [`Failure`] (3) for a fragment that is too long; `name` is the step's.
pub(super) fn fragment_file(name: &str, fragment: &str) -> Result<TextFile, Failure> {
    if fragment.len() > MAX_FRAGMENT {
        let what = format!(
            "step {name:?}: its script has {} bytes, which is more than {MAX_FRAGMENT}",
            fragment.len()
        );
        return Err(Failure::build_file(what, "Move a part of it into a file of the source directory."));
    }
    Ok(text_file(format!("{fragment}{END}")))
}

/// A text as the file of the fragment.
pub(super) fn text_file(text: String) -> TextFile {
    TextFile { path: FRAGMENT.into(), text, if_exists: IfExists::Replace, mode: 0o644 }
}

/// Any text as one word for a POSIX shell.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_runs_in_its_directory_and_fails_early() {
        assert_eq!(
            frame("/home/build/src", None, Trace::Off),
            "set -eo pipefail\n[ -d '/home/build/src' ] || mkdir -p '/home/build/src'\ncd '/home/build/src'\n. /run/kiln-step\n"
        );
        let file = fragment_file("s", "make").expect("it is a script");
        assert_eq!((file.path.as_str(), file.text.as_str()), ("/run/kiln-step", "make\n\n:\n"));
    }

    #[test]
    fn the_first_step_of_a_subpackage_makes_its_output_directory_under_trace() {
        let text = frame("/x", Some("a-dev"), Trace::On);
        assert!(text.starts_with("set -exo pipefail\nmkdir -p '/home/build/melange-out/a-dev'\n"), "{text}");
    }

    #[test]
    fn a_directory_cannot_become_a_command() {
        let text = frame("/tmp/$(touch pwned)'; id; '", None, Trace::Off);
        assert!(text.contains(r"cd '/tmp/$(touch pwned)'\''; id; '\'''"), "{text}");
    }

    #[test]
    fn a_fragment_that_exceeds_a_request_is_refused_with_the_name_of_the_step() {
        let failure = fragment_file("s", &"x".repeat(MAX_FRAGMENT + 1)).expect_err("it is refused");
        assert!(failure.to_string().contains("step \"s\": its script has 8388609 bytes"), "{failure}");
        assert!(fragment_file("s", &"x".repeat(MAX_FRAGMENT)).is_ok());
    }
}
