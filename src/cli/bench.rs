//! `kiln bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::plan::AcceleratorOption;

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
}

/// How a benchmark is measured, and where its results go.
#[derive(Debug, Args)]
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
