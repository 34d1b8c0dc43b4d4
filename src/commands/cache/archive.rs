//! `kiln cache export` and `kiln cache import`.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
};

use anyhow::{Context, Result, ensure};

use super::{lease, lease_of};
use crate::{
    cache::{self, Chosen, Kept, Lease, LockMode, Outcome},
    cli::{ExportArgs, ImportArgs},
    event::{Amount, Event, Sink},
    exit::{Code, Failure},
    home::Home,
    package::Directory,
    report::{self, OutputStreams, Progress, Reporter},
};

/// Stands for stdin and stdout.
const STANDARD: &str = "-";

/// Writes the archive.
pub(super) fn export(home: &Home, args: &ExportArgs) -> Result<Code> {
    let ExportArgs { file, parts, cache } = args;
    let lease = lease(home, cache, LockMode::Shared)?;
    let chosen = match &parts[..] {
        [] => Chosen::All,
        words => Chosen::Named(
            words.iter().map(|word| cache::named(&lease, word, "export")).collect::<Result<_>>()?,
        ),
    };
    if file == Path::new(STANDARD) {
        cache::export(&lease, &chosen, report::data()?)?;
        return Ok(Code::Success);
    }
    let written = write(&lease, &chosen, file).with_context(|| {
        Failure::new(Code::Cache, format!("{} cannot be written", file.display()), "nothing of it is left")
    })?;
    let Amount { entries, bytes } = written;
    report::print(&format!(
        "{} holds {entries} files and links, {bytes} bytes before packing\n",
        file.display()
    ))
}

/// The file appears when all of it is written.
fn write(lease: &Lease, chosen: &Chosen, file: &Path) -> Result<Amount> {
    let name = file.file_name().and_then(|name| name.to_str()).context("its name cannot be used")?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(parent.is_dir(), "{} is no directory", parent.display());
    let directory = Directory::open(parent)?;
    let staged = directory.stage()?;
    let amount = cache::export(lease, chosen, staged.file())?;
    staged.file().sync_all()?;
    staged.publish(name)?;
    directory.sync()?;
    Ok(amount)
}

/// Puts the archive's entries into the cache.
pub(super) fn import(home: &Home, args: &ImportArgs) -> Result<Code> {
    let ImportArgs { file, cache_dir, cache_wait, limit } = args;
    let shown = if file == Path::new(STANDARD) { "stdin".into() } else { file.display().to_string() };
    let failed = |why: String| {
        Failure::new(Code::Cache, format!("{shown} cannot be imported{why}"), "nothing of it is in the cache")
    };
    if file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        let text = format!("reads the pipe {shown} until whoever writes to it is done");
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
        Outcome::Staged(staged) => print(&cache::commit(&lease, *staged, lease.turn()?)?),
    }
}

fn print(Kept { gains, waiting, left_out }: &Kept) -> Result<Code> {
    let mut text = String::new();
    for (kind, gain) in gains {
        let kind = report::name(kind);
        text += &format!("{kind:<16} {:>9} new  {:>15} bytes\n", gain.entries, gain.bytes);
    }
    if *waiting > 0 {
        text += &format!("{waiting} replacements wait until nobody else uses the cache\n");
    }
    if let Some(words) = left_out.words() {
        text += &format!("left out: {words}\n");
    }
    report::print(&text)
}
