//! The end of a build's packages: what their files say, then the packages themselves, published all at once with the index.

use std::path::Path;

use anyhow::Result;

use super::{
    assemble::{Assembled, assemble},
    beside::{Beside, provenance},
    data::Data,
    form::ApkForm,
    index::NewIndex,
    review::{Review, remarks, review},
};
use crate::{
    package::{
        artifact::Collected, facts::PackageFacts, out_dir::unwritable, provenance::Provenance,
        staged_file::Directory,
    },
    plan::PackageMetadata,
};

/// What is ready to be published.
#[derive(Default)]
struct Ready {
    packages: Vec<Assembled>,
    beside: Vec<Beside>,
}

/// Makes the packages of their data sections, and publishes them. `packages` and `sections` have the same order.
pub(in crate::package) fn finish(
    out: &Directory,
    out_dir: &Path,
    form: &ApkForm,
    packages: &[&PackageMetadata],
    mut sections: Vec<Data>,
) -> Result<Collected> {
    let facts: Vec<PackageFacts> = sections.iter_mut().map(|data| std::mem::take(&mut data.facts)).collect();
    let reviews = review(packages, &facts);
    drop(facts);
    let remarks = remarks(packages, &reviews);
    let mut ready = Ready::default();
    for ((package, Review { relations, .. }), data) in packages.iter().zip(&reviews).zip(sections) {
        if form.build.options.provenance.is_yes() {
            let content = provenance(form, package, &data.sha256)?;
            ready.beside.push(Beside::write(out, out_dir, Provenance::file(package), &content)?);
        }
        ready.packages.push(assemble(out, out_dir, form, package, relations, &data)?);
    }
    Ok(Collected { remarks, ..publish(out, out_dir, form, ready)? })
}

/// Publishes everything. Nothing has a name before all of it is written.
fn publish(out: &Directory, out_dir: &Path, form: &ApkForm, ready: Ready) -> Result<Collected> {
    let Ready { packages, beside } = ready;
    let records: String = packages.iter().map(Assembled::record).collect();
    let lock = out.lock().map_err(|error| unwritable(out_dir, &error))?;
    let merge = || NewIndex::merge(out, out_dir, &records, form.key.as_ref());
    let index = form.build.options.index.is_yes().then(merge).transpose()?;
    for file in beside {
        file.publish(out_dir)?;
    }
    let artifacts = packages.into_iter().map(|package| package.publish(out_dir)).collect::<Result<_>>()?;
    let index = index.map(NewIndex::publish).transpose()?;
    out.sync().map_err(|error| unwritable(out_dir, &error))?;
    drop(lock);
    Ok(Collected { artifacts, index, remarks: Vec::new() })
}
