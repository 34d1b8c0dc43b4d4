//! The end of a build's packages: what their files say, then the packages themselves, published all at once with the index.

use std::path::Path;

use anyhow::Result;

use super::{
    assemble::{Assembled, assemble},
    beside::{Beside, provenance},
    data::Data,
    form::ApkForm,
    index::NewIndex,
    review::{self, Linted, Review},
};
use crate::{
    package::{
        artifact::Collected, facts::PackageFacts, lint, logs, logs::Logs, out_dir::unwritable,
        provenance::Provenance, staged_file::Directory,
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
    let linted = review::lint(packages, &facts, &form.build.options)?;
    let mut ready =
        Ready { beside: lint_results(out, out_dir, form, packages, &linted)?, ..Ready::default() };
    if let Some(failure) = review::failure(&linted) {
        // The findings of all linters help to mend the packages.
        for file in ready.beside {
            file.publish(out_dir)?;
        }
        return Err(failure.into());
    }
    let reviews = review::review(packages, &facts, form.library_versions.as_ref());
    drop(facts);
    let remarks = review::remarks(packages, linted, &reviews);
    for ((package, Review { relations, .. }), data) in packages.iter().zip(&reviews).zip(sections) {
        if form.build.options.provenance.is_yes() {
            let content = provenance(form, package, &data.sha256)?;
            ready.beside.push(Beside::write(out, out_dir, Provenance::file(package), &content)?);
        }
        ready.packages.push(assemble(out, out_dir, form, package, relations, &data)?);
    }
    // melange's log of dependencies has the last package only.
    let found = reviews.last().map(|last| last.generated.log_line()).transpose()?.unwrap_or_default();
    let logs = Logs::open(&form.build.options, packages.first().map_or("", |package| &package.arch))?;
    let collected = publish(out, out_dir, form, ready)?;
    logs.write(&form.build.packages, &found)?;
    Ok(Collected { remarks, ..collected })
}

/// The files of `--persist-lint-results`, of packages with findings.
fn lint_results(
    out: &Directory,
    out_dir: &Path,
    form: &ApkForm,
    packages: &[&PackageMetadata],
    linted: &[Linted],
) -> Result<Vec<Beside>> {
    let mut files = Vec::new();
    if form.build.options.lint_results.is_yes() {
        for (package, linted) in packages.iter().zip(linted) {
            if let Some(text) = lint::results(&package.file_stem(), &linted.findings)? {
                let name = logs::lint_results_file(package);
                files.push(Beside::write(out, out_dir, name, text.as_bytes())?);
            }
        }
    }
    Ok(files)
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
