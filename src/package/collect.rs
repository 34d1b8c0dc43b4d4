//! Makes the packages of the guest's stream. They get their names when the whole stream has been accepted.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{
    apk::{self, AddedFile, ApkForm, DataSection},
    artifact::{Artifact, Collected, Normalization, Package},
    limits::Limits,
    out_dir::unwritable,
    reader::Reader,
    sbom::{self, LicenseTexts},
    splitter::{Archive, Splitter},
    staged_file::Directory,
    tar_zst::{self, TarZst},
    tree::check_path,
};
use crate::plan::PackageMetadata;

/// Bytes of a content that are read at once.
const PIECE: usize = 64 << 10;

/// What is made of a stream.
#[derive(Debug)]
pub struct Job {
    /// The packages that the stream may hold.
    pub packages: Vec<Package>,
    /// Times and owners.
    pub normalization: Normalization,
    /// The directory of the packages.
    pub out_dir: PathBuf,
    /// Limits of the stream.
    pub limits: Limits,
    /// The form of the packages.
    pub form: Form,
}

/// The form of packages.
#[derive(Debug, Default)]
pub enum Form {
    /// `<out_dir>/<file_stem>.tar.zst`: the files alone.
    #[default]
    TarZst,
    /// `<out_dir>/<file_stem>.apk`, and the index.
    Apk(Box<ApkForm>),
}

impl Form {
    /// Whether packages have the texts of licences that the build file names.
    pub fn has_license_texts(&self) -> bool {
        matches!(self, Self::Apk(_))
    }

    /// The same, with these texts.
    pub fn with_license_texts(self, license_texts: LicenseTexts) -> Self {
        match self {
            Self::TarZst => Self::TarZst,
            Self::Apk(form) => Self::Apk(Box::new(ApkForm { license_texts, ..*form })),
        }
    }

    /// Whether further names of a file are hard links in the package. In a package of apk each name is a file of its own,
    /// as in melange's packages, so that their sizes agree.
    pub fn keeps_hard_links(&self) -> bool {
        match self {
            Self::TarZst => true,
            Self::Apk(_) => false,
        }
    }
}

/// Reads the stream to its end and makes all packages, in their order; a package without entries in the stream has no files.
/// A refused stream is a [`Failure`](crate::exit::Failure) with [`Code::Package`](crate::exit::Code::Package), and leaves
/// nothing.
///
/// In the stream each directory comes before its entries, and the entries of a package are together.
pub fn collect(stream: impl Read, job: &Job) -> Result<Collected> {
    let Job { packages, normalization, out_dir, limits, form } = job;
    for Package { name, file_stem } in packages {
        let plain = |name: &str| !name.contains('/') && check_path(name.as_bytes()).is_ok();
        ensure!(plain(name) && plain(file_stem), "the package {name:?} ({file_stem:?}) is not a file name");
    }
    let out = Directory::open(out_dir).map_err(|error| unwritable(out_dir, &error))?;
    match form {
        Form::TarZst => {
            let splitter = Splitter::new(packages, out_dir, |_| TarZst::start(&out, *normalization));
            let artifacts = publish(packages, read(stream, limits, splitter)?, &out, out_dir)?;
            Ok(Collected { artifacts, index: None, remarks: Vec::new() })
        }
        Form::Apk(form) => {
            let packages = metadata(packages, form)?;
            let start = |index: usize| data_section(&out, *normalization, form, packages[index]);
            let splitter = Splitter::new(&job.packages, out_dir, start);
            let sections = read(stream, limits, splitter)?;
            apk::finish(&out, out_dir, form, &packages, sections)
        }
    }
}

/// The metadata of the packages, in their order.
fn metadata<'a>(packages: &[Package], form: &'a ApkForm) -> Result<Vec<&'a PackageMetadata>> {
    let of = |package: &Package| {
        form.build
            .package(&package.name)
            .with_context(|| format!("the plan says nothing of {}", package.name))
    };
    packages.iter().map(of).collect()
}

fn data_section<'a>(
    out: &'a Directory,
    normalization: Normalization,
    form: &ApkForm,
    package: &PackageMetadata,
) -> io::Result<DataSection<'a>> {
    let content = sbom::document(&form.build, package, &form.license_texts).into_bytes();
    let added = AddedFile { path: sbom::path(package).into_bytes(), content };
    DataSection::start(&package.name, out, normalization, added, &package.file_capabilities)
}

/// Hands the whole stream to the archives.
fn read<A: Archive, S: FnMut(usize) -> io::Result<A>>(
    stream: impl Read,
    limits: &Limits,
    mut splitter: Splitter<'_, A, S>,
) -> Result<Vec<A::Finished>> {
    let mut reader = Reader::new(stream, limits.clone());
    let mut buffer = vec![0; PIECE];
    while let Some(entry) = reader.next_entry()? {
        splitter.entry(entry)?;
        loop {
            let length = reader.read_body(&mut buffer)?;
            if length == 0 {
                break;
            }
            splitter.content(&buffer[..length])?;
        }
    }
    splitter.finish()
}

fn publish(
    packages: &[Package],
    archives: Vec<tar_zst::Finished>,
    out: &Directory,
    out_dir: &Path,
) -> Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for (package, tar_zst::Finished { staged, entries }) in packages.iter().zip(archives) {
        let file = format!("{}.{}", package.file_stem, TarZst::EXTENSION);
        let path = out_dir.join(&file);
        let bytes = staged.file().metadata().with_context(|| format!("look at {}", path.display()))?.len();
        staged.publish(&file).map_err(|error| unwritable(&path, &error))?;
        artifacts.push(Artifact { package: package.name.clone(), path, bytes, entries });
    }
    out.sync().map_err(|error| unwritable(out_dir, &error))?;
    Ok(artifacts)
}
