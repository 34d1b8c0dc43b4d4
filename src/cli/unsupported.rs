//! melange's flags that have no effect.

use std::path::PathBuf;

use clap::Args;

/// melange's flags that kiln knows and cannot follow yet.
#[derive(Debug, Args)]
#[command(next_help_heading = "Flags of melange that have no effect (each says so when it is given)")]
pub struct UnsupportedArgs {
    /// No effect, in melange too.
    #[arg(long, value_name = "DIR")]
    pub cache_source: Option<String>,
    /// No effect, in melange too.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub cleanup: Option<bool>,
    /// No effect: nothing is left behind in any case.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub rm: Option<bool>,
    /// No effect, in melange too.
    #[arg(long)]
    pub fail_on_lint_warning: bool,
    /// No effect: kiln writes events instead (--progress json).
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// No effect: kiln keeps no workspace on the host.
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
    /// No effect: kiln does not leave a machine running.
    #[arg(long)]
    pub debug_runner: bool,
}
