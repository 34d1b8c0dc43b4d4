//! `kiln sign-index`: signs an index that exists.

use anyhow::Result;

use super::published::{load_key, lock, replace};
use crate::{
    apk::{Index, IndexArchive},
    cli::SignIndexArgs,
    exit::{Code, Failure},
    package::{load_index, unusable_index as unusable},
    report,
};

/// Signs it, unless it is signed.
pub(super) fn run(args: &SignIndexArgs) -> Result<Code> {
    let SignIndexArgs { signing_key, force, index: path } = args;
    let _lock = lock(path)?;
    let bytes = load_index(path)?.ok_or_else(|| {
        Failure::host(format!("the index {} is missing", path.display()), "kiln index makes one of packages")
    })?;
    let index = IndexArchive::read(&bytes).map_err(|error| unusable(path, &error))?;
    Index::parse(&index.records).map_err(|error| unusable(path, &error))?;
    if index.signature.is_some() && !force {
        let text = format!("index {} is already signed, doing nothing (-f signs it anew)\n", path.display());
        return report::print(&text);
    }
    let key = load_key(signing_key)?;
    let content = index.file(Some(&key))?;
    replace(path, None, |file| file.write_all(&content))?;
    report::print(&format!("signed {} with {}\n", path.display(), key.name()))
}
