//! Files that stand beside the packages: provenance, and findings of linters.

use std::{
    io::{self, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use data_encoding::HEXLOWER;

use super::form::ApkForm;
use crate::{
    apk::{member::gzip, signature_section, ustar},
    package::{
        out_dir::unwritable,
        provenance::Provenance,
        staged_file::{Directory, Staged},
    },
    plan::PackageMetadata,
};

/// A file that is ready to be published beside the packages.
pub(super) struct Beside {
    staged: Staged,
    name: String,
}

impl Beside {
    /// Writes a file that has no name yet.
    pub(super) fn write(out: &Directory, out_dir: &Path, name: String, content: &[u8]) -> Result<Self> {
        let write = || -> io::Result<Staged> {
            let staged = out.stage()?;
            staged.file().write_all(content)?;
            staged.file().sync_all()?;
            Ok(staged)
        };
        let staged = write().map_err(|error| unwritable(&out_dir.join(&name), &error))?;
        Ok(Self { staged, name })
    }

    /// Gives the file its name.
    pub(super) fn publish(self, out_dir: &Path) -> Result<()> {
        self.staged.publish(&self.name).map_err(|error| unwritable(&out_dir.join(&self.name), &error))
    }
}

/// The content of a package's provenance: a signature, if there is a key, and an archive with the statement.
pub(super) fn provenance(form: &ApkForm, package: &PackageMetadata, data_sha256: &[u8]) -> Result<Vec<u8>> {
    let data_hash = HEXLOWER.encode(data_sha256);
    let configuration = &form.build.configuration;
    let (started, finished) = (seconds(form.started), seconds(SystemTime::now()));
    let text = Provenance { package, configuration, data_hash: &data_hash, started, finished }.text();
    let name = Provenance::entry(package);
    let mut writer = ustar::Writer::new(Vec::new());
    let size = text.len() as u64;
    writer.entry(&ustar::Entry::plain(name.as_bytes(), 0o644, size, form.build.build_date))?;
    writer.content(text.as_bytes())?;
    let statement = gzip(&writer.finish()?);
    let key = form.key.as_ref();
    let signature = key.map(|key| signature_section(key, &statement, form.build.build_date)).transpose()?;
    Ok([signature.unwrap_or_default(), statement].concat())
}

/// Seconds since the epoch; 0 before it.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
