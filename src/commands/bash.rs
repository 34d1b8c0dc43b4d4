//! The host's bash as a second opinion on a script that kiln's parser rejects.

use crate::{compile::SecondOpinion, process};

/// `bash -n`: it reads and does not run.
pub(super) struct Bash;

/// A syntax error after every script that is complete. Text that bash reads without an error when this follows
/// ends in a here-document without its delimiter, which bash takes (with a warning) and melange refuses.
const ERROR: &str = "\n\n)\n";

impl SecondOpinion for Bash {
    fn accepts(&self, script: &str) -> Option<bool> {
        // Where there is no bash, there is no second opinion.
        Some(parses(script)? && !parses(&format!("{script}{ERROR}"))?)
    }
}

fn parses(script: &str) -> Option<bool> {
    process::passes_filter("bash", &["--noprofile", "--norc", "-n"], script.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_tells_a_script_from_none() {
        assert_eq!(Bash.accepts("[[ a == b ]] && echo \"$(date)\"\n"), Some(true));
        for incomplete in [
            "if true; then\n",
            "true &&\n",
            "true |\n",
            "echo 'a\n",
            "echo $(\n",
            "f() {\n",
            "case a in\n",
            "cat <<E\ntext\n",
            "cat <<'E'\ntext\nE \n",
            "cat <<-E\n  text\n  E\n",
            "cat <<A <<B\na\nA\nb\n",
            "cat <<E\ntext\nE\r\n",
        ] {
            assert_eq!(Bash.accepts(incomplete), Some(false), "{incomplete}");
        }
        for complete in ["cat <<E\ntext\nE\n", "cat <<E\ntext\nE", "echo a \\\n", "echo a # \\", "", "# only"]
        {
            assert_eq!(Bash.accepts(complete), Some(true), "{complete}");
        }
    }
}
