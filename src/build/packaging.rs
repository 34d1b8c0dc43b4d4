//! The form of a build's packages: what they say besides their files.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::{Component, Path},
};

use anyhow::Result;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::{
    apk::SigningKey,
    engine::Injected,
    exit::Failure,
    package::{ApkForm, Form, sbom},
    plan::{PackageFormat, Plan},
};

/// The longest text of a licence, in bytes. The longest ones have 100 KiB.
const MAX_LICENSE: u64 = 1 << 20;

/// The form of the packages of a plan.
///
/// # Errors
/// A build-file failure for the text of a licence that cannot be read.
pub(super) fn form(plan: &Plan, injected: &Injected, key: Option<SigningKey>) -> Result<Form> {
    match plan.metadata.format() {
        PackageFormat::TarZst => Ok(Form::TarZst),
        PackageFormat::Apk => {
            let texts = license_texts(plan)?;
            let hide = |text: &str| injected.hide(plan, text);
            Ok(Form::Apk(ApkForm::new(&plan.metadata, texts, key, &hide).into()))
        }
    }
}

/// The texts that `license-path` names, from the source on the host.
fn license_texts(plan: &Plan) -> Result<sbom::LicenseTexts> {
    let packages = plan.metadata.packages.iter();
    let paths: BTreeSet<&str> = packages.flat_map(sbom::license_paths).collect();
    paths.into_iter().map(|path| Ok((path.to_owned(), license_text(plan.source.as_deref(), path)?))).collect()
}

/// Opens a regular file below a directory. No link on the way leads out of it.
fn open_beneath(directory: &Path, path: &Path) -> io::Result<File> {
    let directory = File::open(directory)?;
    // Non-blocking, since it may be a fifo.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH);
    let file = File::from(openat2(&directory, path, how)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

fn license_text(source: Option<&Path>, path: &str) -> Result<String> {
    let unusable = |why: &str| {
        let what = format!("license-path {path:?}: {why}");
        Failure::build_file(what, "name a text file of the source directory, relative to it")
    };
    let relative = Path::new(path);
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(unusable("it leads out of the source directory").into());
    }
    let source = source.ok_or_else(|| unusable("the build has no source directory"))?;
    let file = open_beneath(source, relative).map_err(|error| unusable(&error.to_string()))?;
    let mut text = String::new();
    file.take(MAX_LICENSE + 1).read_to_string(&mut text).map_err(|error| unusable(&error.to_string()))?;
    if text.len() as u64 > MAX_LICENSE {
        return Err(unusable(&format!("it has more than {MAX_LICENSE} bytes")).into());
    }
    Ok(text)
}
