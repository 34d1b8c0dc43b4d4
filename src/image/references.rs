//! The values of `--image` that name an image of the store, for completion at a command line.

use std::fs;

use super::{kept, record::read_record};
use crate::{
    home::Home,
    plan::{ImageRecipe, ImageSource as Source},
};

/// The references, in any order. Makes no directory, and ignores records that it cannot read.
pub fn references(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.root().join("images")).into_iter().flatten().flatten();
    let records =
        entries.filter_map(|entry| read_record(kept::open(&entry.path().join("image.json")).ok()?).ok());
    records.filter(|record| can_be_named(&record.recipe)).map(|record| record.recipe.to_string()).collect()
}

/// A reference cannot name repositories, nor a file that is gone.
fn can_be_named(recipe: &ImageRecipe) -> bool {
    match &recipe.source {
        Source::Debian(root) => root.repositories.is_empty(),
        Source::Directory(path) | Source::Tar(path) => path.to_str().is_some() && path.exists(),
        // A build file names its packages.
        Source::Apk(_) => false,
    }
}
