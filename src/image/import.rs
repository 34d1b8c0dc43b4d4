//! Putting an exported image into the store, under the name that it had.
//!
//! Before it: [`super::exported`] reads its record. After it: the image lies in the store as if it had been made there. An image is
//! written anew from the entries of its tar: no bytes of the archive become an erofs as they are.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, Write},
};

use anyhow::{Context, Result};

use super::{
    builder::note,
    erofs, exported,
    extend::in_thread,
    record::Record,
    store::{Image, Store},
    tar_tree,
};
use crate::{
    apk::tar::{entries, invalid},
    event::Sink,
    process::Spawner,
};

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// The image was added.
    Added(Image),
    /// The store has an image of this name, which stays.
    Present(Image),
}

impl Store {
    /// Adds the image of an archive. Who gives it must be trusted: builds run in it.
    ///
    /// # Errors
    /// For what is no exported image, or is cut off or damaged; then nothing of it is in the store.
    pub async fn import(
        &self,
        archive: impl Read + Send + 'static,
        spawner: &Spawner,
        sink: &mut dyn Sink,
    ) -> Result<Imported> {
        let (record, tar) = in_thread(move || Ok(exported::read(archive)?)).await?;
        let Record { recipe, in_release, packages, .. } = record;
        let key = self.key(&recipe)?;
        self.sweep_attempts(sink);
        let _lock = self.lock(&key, &recipe, sink).await?;
        if let Some(image) = self.read(&key)? {
            return Ok(Imported::Present(image));
        }
        note(sink, &format!("unpacks the image {recipe}"));
        let added = self.keep(&key, &recipe, spawner, sink, async |build, _| {
            let release = in_release.map(|hash| format!("inrelease {hash}"));
            let mut details = build.details;
            for line in release.iter().chain(&packages) {
                writeln!(details, "{line}").context("write the details")?;
            }
            let image = build.image.try_clone().context("duplicate a descriptor")?;
            // Contents lie beside the image until it is written, in a file without a name.
            let scratch = self.scratch_file()?;
            in_thread(move || write(tar, scratch, &image)).await
        });
        added.await.map(Imported::Added)
    }
}

/// Writes the image of a tar.
fn write(mut tar: impl Read, scratch: File, image: &File) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, &scratch);
    let length = std::io::copy(&mut tar, &mut out).context("read the archive")?;
    out.flush().context("write down the archive")?;
    drop(out);
    (&scratch).rewind().context("read the archive")?;
    // Headers are far apart: most bytes between them are skipped.
    let entries =
        entries(&mut BufReader::with_capacity(4096, &scratch), length).context("read the archive")?;
    let tree = tar_tree::tree(&entries).map_err(|fault| invalid(&fault)).context("read the archive")?;
    erofs::write(&tree, &[scratch], image)
}
