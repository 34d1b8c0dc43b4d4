//! A fragment of a build file -> the command that the agent runs.

use super::{OUTPUT, Trace};
use crate::ecosystem::Ecosystem;

/// The search path of every step, as melange sets it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/sbin:/sbin:/bin";

/// The search path: what stands in for compilers comes first.
pub(super) fn path(also: &[&Ecosystem]) -> String {
    let first = also.iter().flat_map(|ecosystem| ecosystem.path.iter().copied());
    first.chain([PATH]).collect::<Vec<_>>().join(":")
}

/// The script around a fragment: fail at the first error, in its directory, and succeed if the fragment got to its end.
///
/// `makes` is a package whose output directory the step must find: the first step of a subpackage makes it.
pub(super) fn script(fragment: &str, directory: &str, makes: Option<&str>, trace: Trace) -> String {
    let x = match trace {
        Trace::On => "x",
        Trace::Off => "",
    };
    let output =
        makes.map_or(String::new(), |name| format!("mkdir -p {}\n", quote(&format!("{OUTPUT}/{name}"))));
    let directory = quote(directory);
    let end = if fragment.ends_with('\n') { "" } else { "\n" };
    format!(
        "set -e{x}o pipefail\n{output}[ -d {directory} ] || mkdir -p {directory}\ncd {directory}\n{fragment}{end}exit 0\n"
    )
}

/// One word for a POSIX shell, whatever it holds.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_runs_in_its_directory_and_fails_early() {
        assert_eq!(
            script("make", "/home/build/src", None, Trace::Off),
            "set -eo pipefail\n[ -d '/home/build/src' ] || mkdir -p '/home/build/src'\ncd '/home/build/src'\nmake\nexit 0\n"
        );
    }

    #[test]
    fn the_first_step_of_a_subpackage_makes_its_output_and_a_trace_is_set_before() {
        let text = script("true\n", "/x", Some("a-dev"), Trace::On);
        assert!(text.starts_with("set -exo pipefail\nmkdir -p '/home/build/melange-out/a-dev'\n"), "{text}");
        assert!(text.ends_with("\ntrue\nexit 0\n"), "{text}");
    }

    #[test]
    fn a_directory_cannot_become_a_command() {
        let text = script("true", "/tmp/$(touch pwned)'; id; '", None, Trace::Off);
        assert!(text.contains(r"cd '/tmp/$(touch pwned)'\''; id; '\'''"), "{text}");
    }
}
