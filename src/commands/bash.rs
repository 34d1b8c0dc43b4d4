//! The host's bash as a second opinion on a script that kiln's parser rejects.

use crate::{compile::SecondOpinion, process};

/// `bash -n`: it reads and does not run.
pub(super) struct Bash;

impl SecondOpinion for Bash {
    fn accepts(&self, script: &str) -> Option<bool> {
        // Where there is no bash, there is no second opinion.
        process::ask("bash", &["--noprofile", "--norc", "-n"], script.as_bytes()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_tells_a_script_from_none() {
        assert_eq!(Bash.accepts("[[ a == b ]] && echo \"$(date)\"\n"), Some(true));
        assert_eq!(Bash.accepts("if true; then\n"), Some(false));
    }
}
