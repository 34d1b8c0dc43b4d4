//! Samples of whole commands, taken side by side, kept raw, shown as median and spread.

#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The raw samples of one thing, in seconds.
pub(crate) struct Series {
    /// The name of the measurement.
    pub(crate) name: String,
    /// In the order in which they were taken.
    pub(crate) seconds: Vec<f64>,
}

impl Series {
    /// None yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), seconds: Vec::new() }
    }

    /// The middle one, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
    }

    fn spread(&self) -> (f64, f64) {
        let least = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        (least, self.seconds.iter().copied().fold(0.0, f64::max))
    }
}

/// Prints a table, with the ratio of each median to the first one's, and keeps the raw samples.
pub(crate) fn report(bench: &str, series: &[Series]) {
    println!("{bench}, {} samples each, on {}", series[0].seconds.len(), machine());
    println!("{:<28} {:>9} {:>9} {:>9} {:>9}", "", "median s", "least", "most", "ratio");
    for one in series {
        let (least, most) = one.spread();
        let ratio = one.median() / series[0].median();
        println!("{:<28} {:>9.3} {least:>9.3} {most:>9.3} {ratio:>9.2}", one.name, one.median());
    }
    let raw: serde_json::Map<_, _> =
        series.iter().map(|one| (one.name.clone(), serde_json::json!(one.seconds))).collect();
    let path = target().join(format!("bench-{bench}.json"));
    let text = serde_json::json!({ "bench": bench, "machine": machine(), "seconds": raw }).to_string();
    fs::write(&path, text).expect("the raw samples can be kept");
    println!("raw samples: {}", path.display());
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    let kiln = Path::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.ancestors().nth(2).expect("target/<profile>/kiln").to_owned()
}

/// `--runs N` on the command line, else `default`.
pub(crate) fn runs(default: usize) -> usize {
    let arguments: Vec<String> = env::args().collect();
    let at = arguments.iter().position(|word| word == "--runs");
    at.and_then(|at| arguments.get(at + 1))
        .map_or(default, |word| word.parse().expect("--runs takes a number"))
}

fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cpus} cpus ({}), Linux {}", model.trim_start_matches([':', '\t', ' ']), release.trim())
}
