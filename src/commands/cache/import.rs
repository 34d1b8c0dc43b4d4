//! `kiln cache import`.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
};

use anyhow::{Context, Result};

use super::lease_of;
use crate::{
    cache::{self, Kept, LockMode, Outcome},
    cli::ImportArgs,
    event::{Event, Sink},
    exit::{Code, Failure},
    home::Home,
    report::{self, OutputStreams, Progress, Reporter},
};

/// The name for stdin and stdout.
pub(super) const STANDARD: &str = "-";

/// Adds the entries of the archive to the cache.
pub(super) fn run(home: &Home, args: &ImportArgs) -> Result<Code> {
    let ImportArgs { file, cache_dir, cache_wait, limit } = args;
    let shown = if file == Path::new(STANDARD) { "stdin".into() } else { file.display().to_string() };
    let failed = |why: String| {
        Failure::new(Code::Cache, format!("{shown} cannot be imported{why}"), "nothing of it is in the cache")
    };
    if file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        let text = format!("reads the pipe {shown} until its writer closes it");
        Reporter::new(Progress::Plain, OutputStreams::of_process()).emit(Event::Note { text });
    }
    let archive: Box<dyn Read> = match file == Path::new(STANDARD) {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(file).with_context(|| failed(String::new()))?),
    };
    let directory = cache::directory(cache_dir)?
        .ok_or_else(|| Failure::usage("--cache-dir \"\" names no directory to fill", "name one"))?;
    let lease = lease_of(home, &directory, LockMode::Shared, *cache_wait)?;
    match cache::import(&lease, archive, *limit).with_context(|| failed(String::new()))? {
        Outcome::Unchanged(left_out) => match left_out.words() {
            None => report::print("the cache has all of it\n"),
            Some(words) => report::print(&format!("nothing is new but what is left out: {words}\n")),
        },
        Outcome::TooMuch(why) => Err(failed(format!(": {why}; --limit allows more")).into()),
        Outcome::Staged(staged) => print(&cache::commit(&lease, *staged, lease.lock_commits()?)?),
    }
}

fn print(Kept { gains, waiting, left_out }: &Kept) -> Result<Code> {
    let mut text = String::new();
    for (kind, gain) in gains {
        let kind = report::name(kind);
        text += &format!("{kind:<16} {:>9} new  {:>15} bytes\n", gain.entries, gain.bytes);
    }
    if *waiting > 0 {
        text += &format!("{waiting} replacements wait until no other process uses the cache\n");
    }
    if let Some(words) = left_out.words() {
        text += &format!("left out: {words}\n");
    }
    report::print(&text)
}
