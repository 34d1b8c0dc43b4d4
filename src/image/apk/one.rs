//! The root of a single package from its sections, without a repository: for fuzzing, which needs no right checksums.

use std::{
    fs::File,
    io::{Result, Write},
};

use super::{
    compose::compose,
    package::{Control, Package, data_entries, verify_files},
};
use crate::{
    apk::tar::invalid,
    image::erofs,
    plan::{ApkPackage, ApkRoot},
};

/// Writes the image of a package with these sections, which are not compressed, to the empty file `image`.
///
/// # Errors
/// `InvalidData` for sections and packages that are refused.
pub fn image_of_package(control: &[u8], data: &[u8], image: &File) -> Result<()> {
    let control = Control::read(control)?;
    let mut file = tempfile::tempfile()?;
    file.write_all(data)?;
    let entries = data_entries(&file, data.len() as u64)?;
    verify_files(&file, &entries)?;
    let package = ApkPackage {
        name: control.info.name.clone(),
        version: control.info.version.clone(),
        repository: "./packages".into(),
        checksum: "Q1".into(),
        size: data.len() as u64,
        tag: None,
        versioned_libraries: Vec::new(),
    };
    let recipe = ApkRoot { packages: vec![package], ..ApkRoot::default() };
    let composed = compose(&recipe, "x86_64", vec![Package { control, data: file, entries }]);
    let composed = composed.map_err(|failure| invalid(&failure.what))?;
    // What was accepted can be written: an error here is a defect.
    erofs::write(&composed.tree, &composed.sources, image).map_err(std::io::Error::other)
}
