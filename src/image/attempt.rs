//! An attempt at an image: a directory beside the entries, which becomes one by a rename.
//!
//! Before it: [`super::store`] holds the lock of the key. After it: the entry, or nothing.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    builder,
    key::{self, Key},
    record::Record,
};
use crate::{
    files::{Durability, sync_directory, write_atomically},
    plan::{ImageRecipe, ImageSource},
};

/// An image that is being made; removed when it is dropped.
pub(super) struct Attempt {
    /// The directory that becomes the entry.
    directory: tempfile::TempDir,
    /// Where the root is put together. A link names it before it exists, so that a sweep finds it.
    pub(super) staging: PathBuf,
}

impl Attempt {
    /// Of an entry below `images`, whose root is put together below `scratch`.
    pub(super) fn new(images: &Path, scratch: &Path, key: &Key) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(&format!(".making-{key}-"))
            .tempdir_in(images)
            .with_context(|| format!("make a directory in {}", images.display()))?;
        let random = directory.path().extension().or(directory.path().file_name()).unwrap_or_default();
        let random = random.to_string_lossy().rsplit('-').next().unwrap_or_default().to_owned();
        let staging = scratch.join(format!("kiln-image-{}-{random}", &key.as_str()[..16]));
        symlink(&staging, directory.path().join("staging")).context("note the staging directory")?;
        Ok(Self { directory, staging })
    }

    /// The directory that becomes the entry.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// An empty file that the root of a user namespace may write, too. Only a descriptor leads to it, since other users
    /// cannot enter the directory.
    pub(super) fn file(&self, name: &str) -> Result<File> {
        let path = self.directory.path().join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.with_context(|| format!("make {}", path.display()))?;
        file.set_permissions(Permissions::from_mode(0o666))
            .with_context(|| format!("change the mode of {}", path.display()))?;
        Ok(file)
    }

    /// Makes it the entry: all is on disk before the rename, and the rename before this returns.
    pub(super) fn keep(self, recipe: &ImageRecipe, image: &File, entry: &Path) -> Result<()> {
        let Self { directory, staging: _ } = self;
        let path = directory.path();
        let details = builder::read_details(&path.join("details"))?;
        let sha256 =
            matches!(recipe.source, ImageSource::Debian(_)).then(|| key::sha256(image)).transpose()?;
        let record = Record::new(recipe, &details, sha256);
        let json = serde_json::to_vec_pretty(&record).context("write image.json")?;
        write_atomically(&path.join("image.json"), &json, Durability::Content)?;
        for name in ["details", "staging"] {
            fs::remove_file(path.join(name)).with_context(|| format!("remove {name}"))?;
        }
        image.set_permissions(Permissions::from_mode(0o444)).context("close the image")?;
        image.sync_all().context("write the image to disk")?;
        sync_directory(path)?;
        if entry.exists() {
            // A refresh. A process that has the old one open keeps it.
            let old = path.join("replaced");
            fs::rename(entry, &old).with_context(|| format!("replace {}", entry.display()))?;
            fs::remove_dir_all(&old).with_context(|| format!("remove {}", old.display()))?;
        }
        fs::rename(path, entry).with_context(|| format!("keep {}", entry.display()))?;
        // Renamed: there is nothing left to remove under the old name.
        let _renamed = directory.keep();
        entry.parent().map_or(Ok(()), sync_directory)
    }
}

/// `.making-KEY-…`
pub(super) fn attempt_key(name: &str) -> Option<Key> {
    Key::parse(name.strip_prefix(".making-")?.split_once('-')?.0)
}
