//! `kiln bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::{IoArgs, values::Checked};
use crate::{bench::BuildScenario, exit::Failure, plan::AcceleratorOption};

/// `kiln bench …`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The cold start: a whole build of one step `true`, against a bare boot of the same kernel and virtme-ng.
    Boot {
        /// How it is measured.
        #[command(flatten)]
        run: BenchArgs,
        /// Measure also where each millisecond of the build goes.
        #[arg(long)]
        phases: bool,
        /// The accelerator of all microVMs.
        #[arg(long, value_enum, default_value = "auto", value_name = "ACCELERATOR")]
        accel: AcceleratorOption,
    },
    /// What kiln costs beside the tool that it uses: 100 steps against one shell, a sandbox against bwrap, a container against docker.
    Build {
        /// How it is measured.
        #[command(flatten)]
        run: BenchArgs,
        /// Measure these, and fail where one cannot be measured [default: all that this host can do].
        #[arg(long, value_enum, value_name = "SCENARIO", value_delimiter = ',')]
        only: Vec<BuildScenario>,
        /// The accelerator of the microVM.
        #[arg(long, value_enum, default_value = "auto", value_name = "ACCELERATOR")]
        accel: AcceleratorOption,
    },
    /// What the cache costs: commits to caches of up to a million files, the start of a build, and a merge of a gigabyte.
    #[command(
        after_help = "It needs 1.2 million free inodes and 4 GB in --out-dir; with --quick a tenth of that."
    )]
    Cache {
        /// How it is measured.
        #[command(flatten)]
        run: BenchArgs,
    },
    /// Ways to share a directory with a guest: 9p, virtiofs, a block device, against the host itself.
    Io {
        /// How it is measured.
        #[command(flatten)]
        run: BenchArgs,
        /// What is measured.
        #[command(flatten)]
        io: IoArgs,
    },
    /// Say for each row of two results whether the second is faster, slower, or not different as far as the samples can show.
    #[command(
        after_help = "Exits with 1 if --fail-on-regression finds one, which is not a defect of kiln then."
    )]
    Compare(CompareArgs),
}

/// `kiln bench compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The result to compare with: the JSON document of a benchmark.
    #[arg(value_name = "BEFORE", value_hint = ValueHint::FilePath)]
    pub before: PathBuf,
    /// The result that may be faster or slower.
    #[arg(value_name = "AFTER", value_hint = ValueHint::FilePath)]
    pub after: PathBuf,
    /// Exit with 1 if a row is slower by more than this many percent [default: 0], and not by chance.
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "0", value_parser = percent())]
    pub fail_on_regression: Option<f64>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

fn percent() -> Checked<f64> {
    Checked(|text, option| {
        let percent = text.parse().ok().filter(|percent| (0.0..=1000.0).contains(percent));
        percent.ok_or_else(|| {
            let what = format!("{option}: {text:?} is not a percentage from 0 to 1000");
            Failure::usage(what, "write a number such as 5, and the option behind both files")
        })
    })
}

/// How a benchmark is measured, and where its results go.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// How many samples of each are kept; one more round is the warm-up [default: 5, and 4 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// A smaller benchmark in a few minutes.
    #[arg(long)]
    pub quick: bool,
    /// The directory for NAME.json, NAME.html and the files of the benchmark itself; made if it is missing.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "bench")]
    pub out_dir: PathBuf,
    /// The seed of orders and of random work [default: a fresh one, which is printed].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Print the JSON document instead of the table.
    #[arg(long)]
    pub json: bool,
}

impl BenchArgs {
    /// How many rounds are counted.
    pub fn rounds(&self) -> u32 {
        // With fewer than four samples `compare` sees no difference.
        self.rounds.unwrap_or(if self.quick { 4 } else { 5 })
    }
}
