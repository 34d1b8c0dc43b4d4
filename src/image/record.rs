//! The store's notes about an image: `image.json`.

use std::{
    fs::File,
    io::{self, Read},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::plan::{ApkPackage, ImageRecipe, ImageReference, ImageSource as Source};

/// The most bytes of a record: it names all packages of an image.
pub(super) const MOST_RECORD: u64 = 64 << 20;

/// `image.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its origin.
    pub recipe: ImageRecipe,
    /// When, in seconds since the epoch.
    pub made: u64,
    /// One hash over the distribution's InRelease files, for Debian.
    pub in_release: Option<String>,
    /// `name version` of each package, for Debian and apk.
    pub packages: Vec<String>,
    /// The SHA-256 of the image, for Debian: others are made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Record {
    /// Of an image that was made now. `details` has a line `inrelease HASH`, then `package version` lines.
    pub(super) fn new(recipe: &ImageRecipe, details: &str, sha256: Option<String>) -> Self {
        let made = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let in_release = details.lines().find_map(|line| line.strip_prefix("inrelease ")).map(String::from);
        let packages = match &recipe.source {
            Source::Apk(root) => {
                root.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
            }
            Source::Debian(_) | Source::Directory(_) | Source::Tar(_) => {
                details.lines().filter(|line| !line.starts_with("inrelease ")).map(String::from).collect()
            }
        };
        Self { recipe: recipe.clone(), made, in_release, packages, sha256 }
    }

    /// Whether it is one that [`Record::new`] could have made of packages: it may come from another machine.
    ///
    /// # Errors
    /// What is wrong, as a clause.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.recipe.source {
            Source::Directory(_) | Source::Tar(_) => {
                return Err("it is of neither Debian's nor apk's packages".into());
            }
            Source::Debian(root) => {
                ImageReference::parse(&format!("debian:{}", root.suite)).map_err(|failure| failure.what)?;
            }
            Source::Apk(root) if root.packages.iter().all(ApkPackage::is_valid) => {}
            Source::Apk(_) => return Err("it has a name that no package has".into()),
        }
        let recipe = ImageRecipe::new(self.recipe.source.clone(), &self.recipe.arch);
        if recipe.map_err(|failure| failure.what)? != self.recipe {
            return Err("its packages are not sorted".into());
        }
        let mut words = self.packages.iter().chain([&self.recipe.arch]);
        if words.any(|word| word.contains(char::is_control)) {
            return Err("a name has a control character".into());
        }
        match self.in_release.as_deref().is_none_or(is_digest) {
            true => Ok(()),
            false => Err("the hash of its release is none".into()),
        }
    }
}

/// Whether a text is a SHA-256 in hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads the record in an open file.
///
/// # Errors
/// `InvalidData` and `UnexpectedEof` for what is none.
pub(super) fn read_record(file: File) -> io::Result<Record> {
    let mut text = Vec::new();
    file.take(MOST_RECORD).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
