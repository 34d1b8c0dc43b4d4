//! From a data section to a package: signature, control section and data in one file.

use std::{
    fs::File,
    io::{self, Seek, Write},
    path::Path,
};

use anyhow::Result;
use data_encoding::HEXLOWER;

use super::{
    control::{Control, control},
    data::Data,
    form::ApkForm,
};
use crate::{
    apk::{PackageInfo, signature_section},
    package::{
        artifact::Artifact,
        dependencies::Merged,
        out_dir::unwritable,
        staged_file::{Directory, Staged},
    },
    plan::PackageMetadata,
};

/// A package that is ready to be published.
pub(super) struct Assembled {
    staged: Staged,
    name: String,
    file: String,
    entries: u64,
    bytes: u64,
    /// Its record in the index.
    record: String,
}

impl Assembled {
    /// Its record in the index.
    pub(super) fn record(&self) -> &str {
        &self.record
    }

    /// Gives the package its name.
    pub(super) fn publish(self, out_dir: &Path) -> Result<Artifact> {
        let Self { staged, name, file, entries, bytes, record: _ } = self;
        let path = out_dir.join(&file);
        staged.publish(&file).map_err(|error| unwritable(&path, &error))?;
        Ok(Artifact { package: name, path, bytes, entries })
    }
}

/// Makes the file of a package of its data section.
pub(super) fn assemble(
    out: &Directory,
    out_dir: &Path,
    form: &ApkForm,
    package: &PackageMetadata,
    relations: &Merged,
    data: &Data,
) -> Result<Assembled> {
    let info = package_info(package, form.build.build_date, relations, data);
    let text = info.print()?;
    let scriptlets = &package.scriptlets;
    let Control { section, sha1 } = control(&text, &form.configuration, scriptlets, form.build.build_date)?;
    let key = form.key.as_ref();
    let signature = key.map(|key| signature_section(key, &section, form.build.build_date)).transpose()?;
    let head = [signature.unwrap_or_default(), section].concat();
    let staged = join(out, &head, data.staged.file()).map_err(|error| unwritable(out_dir, &error))?;
    let bytes = head.len() as u64 + data.bytes;
    Ok(Assembled {
        staged,
        name: package.name.clone(),
        file: format!("{}.apk", package.file_stem()),
        entries: data.entries,
        bytes,
        record: info.index_entry(&sha1, bytes)?,
    })
}

/// Writes the sections into one file. The kernel copies the data.
fn join(out: &Directory, head: &[u8], mut data: &File) -> io::Result<Staged> {
    let staged = out.stage()?;
    let mut file = staged.file();
    file.write_all(head)?;
    data.rewind()?;
    io::copy(&mut data, &mut file)?;
    file.sync_all()?;
    Ok(staged)
}

fn package_info(package: &PackageMetadata, build_date: i64, relations: &Merged, data: &Data) -> PackageInfo {
    let Merged { depends, provides, vendored } = relations.clone();
    PackageInfo {
        name: package.name.clone(),
        version: package.version.clone(),
        arch: package.arch.clone(),
        installed_size: data.installed,
        origin: package.origin.clone(),
        description: package.description.clone(),
        url: package.url.clone(),
        commit: package.commit.clone(),
        maintainer: package.namespace.clone(),
        build_date,
        licenses: package.licenses.iter().map(|license| license.name.clone()).collect(),
        depends,
        provides,
        replaces: package.declared.replaces.clone(),
        install_if: Vec::new(),
        vendored,
        provider_priority: package.declared.provider_priority.clone(),
        replaces_priority: package.declared.replaces_priority.clone(),
        triggers: package.scriptlets.trigger_paths.clone(),
        data_hash: HEXLOWER.encode(&data.sha256),
    }
}
