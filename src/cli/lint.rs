//! `kiln lint`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// `kiln lint`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 8 if a required linter finds something.")]
pub struct LintArgs {
    /// The packages.
    #[arg(required = true, value_name = "APK", value_hint = ValueHint::FilePath)]
    pub packages: Vec<PathBuf>,
    /// The linters whose findings are errors, in place of the usual ones.
    #[arg(long, value_name = "LINTER,…", value_delimiter = ',')]
    pub lint_require: Option<Vec<String>>,
    /// The linters whose findings are warnings, in place of the usual ones.
    #[arg(long, value_name = "LINTER,…", value_delimiter = ',')]
    pub lint_warn: Option<Vec<String>>,
    /// Write the findings of each package to OUT_DIR/ARCH/lint-NAME-VERSION.json.
    #[arg(long)]
    pub persist_lint_results: bool,
    /// Where --persist-lint-results writes.
    #[arg(long, value_name = "OUT_DIR", default_value = "packages", value_hint = ValueHint::DirPath)]
    pub out_dir: PathBuf,
}
