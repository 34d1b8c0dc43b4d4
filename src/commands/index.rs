//! `kiln index`: an index of packages that exist.

use anyhow::{Context, Result};

use super::{
    published::{load_key, lock, replace},
    sign::open,
};
use crate::{
    apk::{Index, IndexArchive},
    cli::IndexArgs,
    exit::Code,
    package::{load_index, unusable_index as unusable},
    report,
};

/// Reads the packages, adds them to the records of another index if asked for, and writes the index.
pub(super) fn run(args: &IndexArgs) -> Result<Code> {
    let IndexArgs { output, merge, source, arch: _, signing_key, packages: _ } = args;
    let key = signing_key.as_deref().map(load_key).transpose()?;
    let new = records(args)?;
    // A build that adds its packages to the same index waits until this one is written.
    let _lock = lock(output)?;
    let old = if *merge { load_index(source)? } else { None };
    let old = old.as_deref().map(IndexArchive::read).transpose().map_err(|error| unusable(source, &error))?;
    let (old, description) = old.map(|old| (old.records, old.description)).unwrap_or_default();
    let mut index = Index::parse(&old).map_err(|error| unusable(source, &error))?;
    index.merge(&Index::parse(&new).context("read the records of the packages")?);
    let count = index.records.len();
    let content = IndexArchive::new(index.to_string(), description)?.file(key.as_ref())?;
    replace(output, None, |file| file.write_all(&content))?;
    report::print(&format!("{}: {count} packages\n", output.display()))
}

/// The records of the packages as text, in their order, without those of other architectures.
fn records(args: &IndexArgs) -> Result<String> {
    let mut text = String::new();
    for path in &args.packages {
        let (input, head) = open(path)?;
        let arch = args.arch.as_deref().filter(|arch| *arch != head.info.arch);
        if let Some(arch) = arch {
            let info = &head.info;
            report::error(&anyhow::anyhow!(
                "{} is left out: its architecture is {:?}, not {arch:?}",
                path.display(),
                info.arch
            ));
            continue;
        }
        let size = input.get_ref().metadata().with_context(|| format!("read {}", path.display()))?.len();
        let record = head.info.index_entry(&head.control_sha1(), size);
        text += &record.with_context(|| format!("list {}", path.display()))?;
    }
    Ok(text)
}
