//! `kiln completion`: the script that makes a shell ask [`super::complete`] at Tab.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// The script for a shell. Those that few use here know commands and options, and no names of this machine.
pub(super) fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => include_str!("completion/kiln.bash").into(),
        Shell::Zsh => include_str!("completion/kiln.zsh").into(),
        Shell::Fish => include_str!("completion/kiln.fish").into(),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Cli::command(), "kiln", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    }
}
