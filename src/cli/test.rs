//! `kiln test`.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, ValueHint};

use super::{MachineArgs, RecipeArgs};
use crate::report::Progress;

/// `kiln test`.
#[derive(Debug, Args)]
#[command(
    after_help = "The test of the main package and that of each subpackage has a fresh guest of its own, with the packages of its \
`test.environment`, the tested package and what its steps need, and with nothing of the build's environment. The tested package comes \
from a repository: after `kiln build`, `-r ./packages` names that of the build.\n\nWithout --source-dir the guest's /home/build is \
empty. Without --cache-dir there is no cache. Exits with 0 if all tests succeed, else with the exit code of the first that failed."
)]
pub struct TestArgs {
    /// The build file [default: .melange.yaml, .melange.yml, melange.yaml or melange.yml].
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// The package that the test of the main package installs, with a version if wanted: NAME or NAME=VERSION [default: the build
    /// file's].
    #[arg(value_name = "PACKAGE")]
    pub package: Option<String>,
    /// Run only the tests of these packages and subpackages.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// How many tests run at once.
    #[arg(long, value_name = "N", default_value = "1")]
    pub jobs: NonZeroUsize,
    /// Options of the build file to enable for the tests.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub test_option: Vec<String>,
    /// Packages to add to the guest of each test.
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    pub test_package_append: Vec<String>,
    /// Write the results as JUnit XML, which CI systems read.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub junit: Option<PathBuf>,
    /// Print the results as one JSON document.
    #[arg(long)]
    pub json: bool,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// In what it runs.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// How events are shown.
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: Progress,
    /// Run the test of this package in this process, and write its result to descriptor 3.
    #[arg(long, value_name = "NAME", hide = true)]
    pub job: Option<String>,
}
