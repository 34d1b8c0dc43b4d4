//! What all benchmarks have in common: the directory, the progress on stderr, Ctrl-C, and the results.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    bench::{self, Document, Options, Suite, page, table},
    cli::BenchArgs,
    commands::{progress::LiveReporter, signals, waiting::Volume},
    event::{Event, Sink},
    exit::{Code, Failure, code_of},
    files::{Durability, write_atomically},
    process::Spawner,
    report::{self, Progress},
};

/// Lines on stderr while a benchmark runs.
pub(super) struct Lines(LiveReporter);

impl Lines {
    pub(super) fn new(volume: Volume) -> Self {
        Self(LiveReporter::new(match volume {
            Volume::Usual => Progress::Plain,
            Volume::Quiet => Progress::Quiet,
        }))
    }

    pub(super) fn say(&mut self, text: String) {
        self.0.emit(Event::Note { text });
    }

    /// For what is made before the benchmark.
    pub(super) fn sink(&mut self) -> &mut dyn Sink {
        &mut self.0
    }
}

/// The output directory, made if it is missing.
pub(super) fn directory(args: &BenchArgs) -> Result<&Path> {
    fs::create_dir_all(&args.out_dir).map_err(|error| {
        let what = format!("--out-dir {} cannot be made: {error}", args.out_dir.display());
        Failure::host(what, "name a directory that this user can write")
    })?;
    Ok(&args.out_dir)
}

/// Runs a suite to its end, writes the results, and prints them.
pub(super) async fn measure(
    suite: &mut dyn Suite,
    args: &BenchArgs,
    mut chosen: Vec<(String, String)>,
    lines: &mut Lines,
) -> Result<()> {
    chosen.insert(0, ("quick".into(), args.quick.to_string()));
    let options = Options { rounds: args.rounds(), seed: args.seed, chosen, directory: &args.out_dir };
    let mut show = |progress: bench::Progress| lines.say(progress.to_string());
    let run = bench::run(suite, &options, &mut show).await?;
    let document = Document::new(suite, &run);
    let path = args.out_dir.join(format!("{}.json", suite.name()));
    document.write(&path)?;
    let shown = args.out_dir.join(format!("{}.html", suite.name()));
    write_atomically(&shown, page(&document).as_bytes(), Durability::ContentAndName)?;
    run.written()?;
    let text = if args.json {
        serde_json::to_string_pretty(&document).context("write a result as JSON")? + "\n"
    } else {
        facts(&document) + "\n" + &table(&document)
    };
    report::print(&text)?;
    lines.say(format!("charts: {}; raw samples: {}", shown.display(), path.display()));
    Ok(())
}

/// The fingerprint for people, a line for each fact.
fn facts(document: &Document) -> String {
    let facts = &document.fingerprint.facts;
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = facts.iter().map(|(name, value)| format!("{name:width$}  {value}\n"));
    let load = document.fingerprint.load_average;
    let load =
        format!("{:width$}  {:.2} at the start, {:.2} at the end\n", "load average", load.start, load.end);
    lines.chain([load]).collect()
}

/// Runs a benchmark, which the first signal ends: its samples stay, and the same command continues.
pub(super) async fn guarded(work: impl AsyncFnOnce(&Spawner) -> Result<()>) -> Result<u8> {
    let spawner = Spawner::start()?;
    let done = signals::abortable(work(&spawner)).await;
    spawner.finish()?;
    done.map(|()| Code::Success as u8).map_err(|error| match code_of(&error) {
        code @ (Code::Interrupted | Code::Terminated) => {
            let way_out = "Run the same command again: it continues with the samples that are there.";
            error.context(Failure::new(code, "the benchmark was ended", way_out))
        }
        _ => error,
    })
}
