//! The host's bash as a second opinion on a script that kiln's parser rejects.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::compile::SecondOpinion;

/// `bash -n`: it reads and does not run.
pub(super) struct Bash;

impl SecondOpinion for Bash {
    fn accepts(&self, script: &str) -> Option<bool> {
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc", "-n"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut stdin = child.stdin.take()?;
        // Best effort: bash stops reading at the first error, which its exit status says.
        let _ = stdin.write_all(script.as_bytes());
        drop(stdin);
        child.wait().ok().map(|status| status.success())
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
