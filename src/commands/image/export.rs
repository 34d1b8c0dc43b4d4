//! `kiln image export`.

use std::{io::BufWriter, path::Path};

use anyhow::{Context, Result};

use super::import::STANDARD;
use crate::{
    commands::whole_file::write_whole,
    exit::{Code, Failure},
    image::{Image, Store, export, locate},
    plan::{ImageRecipe, ImageReference},
    report,
};

/// The fewest digits that name an image by its key: fewer may be a word.
const FEWEST_DIGITS: usize = 8;

/// Writes the archive of an image.
pub(super) fn run(store: &Store, name: &str, file: &Path) -> Result<Code> {
    let image = find(store, name)?;
    if file == Path::new(STANDARD) {
        export(&image, BufWriter::new(report::data()?))?;
        return Ok(Code::Success);
    }
    write_whole(file, |out| export(&image, out)).with_context(|| {
        Failure::host(format!("{} cannot be written", file.display()), "Nothing of it is left.")
    })?;
    report::print(&format!("{} holds {}\n", file.display(), image.record.recipe))
}

/// The image of a name or of the beginning of a key.
fn find(store: &Store, name: &str) -> Result<Image> {
    if name.len() >= FEWEST_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let with = |image: &Image| image.key.as_str().starts_with(name);
        let mut found: Vec<Image> = store.list()?.into_iter().filter(with).collect();
        match (found.pop(), found.len()) {
            (Some(image), 0) => return Ok(image),
            (Some(_), _) => {
                return Err(Failure::usage(
                    format!("{name} is the beginning of several keys"),
                    "Give more digits.",
                )
                .into());
            }
            (None, _) => {}
        }
    }
    let recipe = ImageRecipe::new(locate(ImageReference::parse(name)?)?, "amd64")?;
    let missing = || {
        Failure::host(
            format!("the store has no image {name}"),
            "kiln image ls lists those that it has, and kiln image build makes one.",
        )
    };
    Ok(store.find(&recipe)?.ok_or_else(missing)?)
}
