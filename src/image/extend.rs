//! Making a Debian root from one that exists and has a part of its packages: the others are fetched and installed in it.
//!
//! The result has exactly the packages, in their versions, that a root from nothing has; what would not is made from nothing. Before it:
//! [`super::store`] knows which images exist. After it: the image lies in its file as if [`super::builder`] had made it.

use std::{
    fs::File,
    io::{Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    archive,
    builder::{ImageBuild, copy, jailed, note},
    debian,
    erofs::{Erofs, Inode},
    key,
    record::{Record, is_digest},
    scripts::{FIT, IN_RELEASE, MMDEBSTRAP, PACK, RELEASE, ROOT, STATUS, TIDY, UNPACK},
    staging::Staging,
};
use crate::{
    event::{Event, Sink, WarningKind},
    plan::{DebianRoot, ImageRecipe, ImageSource as Source},
    process::{JAIL_DIRECTORY, JailNetwork, Stdio},
};

/// dpkg's list of the packages of a root.
const STATUS_FILE: &str = "var/lib/dpkg/status";
/// The most bytes of it; that of a thousand packages takes a megabyte.
const STATUS_LIMIT: u64 = 64 << 20;

/// Fills the image of a build: from the nearest of the `known` images, else from nothing.
pub(super) async fn run(
    build: &ImageBuild<'_>,
    known: impl Iterator<Item = (PathBuf, Record)>,
    sink: &mut dyn Sink,
) -> Result<()> {
    let Source::Debian(root) = &build.recipe.source else { return build.run(sink).await };
    let Some(base) = nearest(build.recipe, root, known) else { return build.run(sink).await };
    note(sink, &format!("it is made from {}, which has {} packages", base.1.recipe, base.1.packages.len()));
    match extend(build, root, &base, sink).await {
        Ok(()) => Ok(()),
        Err(error) => {
            note(sink, &format!("it is made from nothing: {error:#}"));
            clear(build)?;
            build.run(sink).await
        }
    }
}

/// The image with the most packages that a root needs all of, of the same suite and repositories. Only those count whose content can be
/// verified.
fn nearest(
    recipe: &ImageRecipe,
    root: &DebianRoot,
    known: impl Iterator<Item = (PathBuf, Record)>,
) -> Option<(PathBuf, Record)> {
    let is_part = |(_, record): &(PathBuf, Record)| {
        let Source::Debian(other) = &record.recipe.source else { return false };
        record.recipe.arch == recipe.arch
            && other.suite == root.suite
            && other.repositories == root.repositories
            && other.packages.len() < root.packages.len()
            && other.packages.iter().all(|name| root.packages.contains(name))
            && record.in_release.as_deref().is_some_and(is_digest)
            && record.sha256.as_deref().is_some_and(is_digest)
    };
    // The first of several equal ones: the list is sorted by keys.
    known.filter(is_part).fold(None, |best: Option<(PathBuf, Record)>, one| match best {
        Some(best) if best.1.packages.len() >= one.1.packages.len() => Some(best),
        Some(_) | None => Some(one),
    })
}

async fn extend(
    build: &ImageBuild<'_>,
    root: &DebianRoot,
    (path, record): &(PathBuf, Record),
    sink: &mut dyn Sink,
) -> Result<()> {
    let release = record.in_release.as_deref().unwrap_or_default();
    let wanted = record.sha256.clone();
    let base = path.clone();
    let status = in_thread(move || verified_status(&base, wanted.as_deref())).await;
    let status = status.inspect_err(|error| {
        let text =
            format!("the image {} is damaged: {error:#}; `kiln image prune` removes it", record.recipe);
        sink.emit(Event::Warning { kind: WarningKind::ImageDamaged, text });
    })?;
    let staging = Staging::make(build.staging, build.spawner)?;
    let made = install(build, root, release, status, path, &staging, sink).await;
    made.and(staging.remove())
}

async fn install(
    build: &ImageBuild<'_>,
    root: &DebianRoot,
    release: &str,
    status: File,
    base: &Path,
    staging: &Staging,
    sink: &mut dyn Sink,
) -> Result<()> {
    build.try_jail(staging).await?;
    let sources = debian::sources(root, &debian::Mirror::of_host());
    let (arch, work) = (build.recipe.arch.as_str(), Path::new(JAIL_DIRECTORY));
    note(sink, "fetch the packages that it lacks");
    let arguments = debian::fetching_more(root, arch, &work.join("seed"), &sources, release);
    let script = format!("{STATUS}{IN_RELEASE}{MMDEBSTRAP}{FIT}{RELEASE}");
    let command = jailed(staging, JailNetwork::Host, &script).args(arguments);
    let command = command.envs(build.variables.iter().cloned()).stdin(Stdio::File(status.into()));
    let command = command.fd(copy(build.details)?, 4);
    // The base is unpacked while the packages are fetched; tar says nothing unless it fails.
    let mut quiet = |_: Event| {};
    let (fetched, unpacked) =
        tokio::join!(build.maker("mmdebstrap", command, sink), unpack(build, base, staging, &mut quiet));
    fetched.and(unpacked)?;
    let arguments = debian::extending(root, arch, &work.join("root"), &sources);
    let command = jailed(staging, JailNetwork::None, MMDEBSTRAP).args(arguments);
    let epoch = build.variables.iter().filter(|(name, _)| name == "SOURCE_DATE_EPOCH");
    build.maker("mmdebstrap", command.envs(epoch.cloned()), sink).await?;
    note(sink, "pack the image");
    let command = jailed(staging, JailNetwork::None, &format!("{TIDY}{PACK}"));
    build.maker("mkfs.erofs", command.fd(copy(build.image)?, 3).fd(copy(build.details)?, 4), sink).await
}

/// Unpacks the base below `root`, by a pipe: the jail does not see the store.
async fn unpack(build: &ImageBuild<'_>, base: &Path, staging: &Staging, sink: &mut dyn Sink) -> Result<()> {
    let (read, write) = std::io::pipe().context("make a pipe")?;
    let command = jailed(staging, JailNetwork::None, &format!("{ROOT}{UNPACK}"));
    let command = command.stdin(Stdio::File(read.into()));
    let base = base.to_owned();
    let (done, written) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Without a receiver nothing waits for the result.
        done.send(archive::write(&base, std::io::BufWriter::with_capacity(1 << 20, write)))
    });
    build.maker("tar", command, sink).await?;
    written.await.context("the thread that reads an image has ended")?
}

/// dpkg's status of an image whose content is what its record says.
fn verified_status(path: &Path, wanted: Option<&str>) -> Result<File> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    ensure!(Some(key::sha256(&file)?.as_str()) == wanted, "its content is not what was noted of it");
    let erofs = Erofs::open(path)?;
    let mut inode = erofs.root()?;
    for part in STATUS_FILE.split('/') {
        inode = below(&erofs, &inode, part)?;
    }
    ensure!(inode.size <= STATUS_LIMIT, "{STATUS_FILE} is too large");
    let mut status = tempfile::tempfile().context("make a file for a list of packages")?;
    status.write_all(&erofs.content(&inode)?).and_then(|()| status.rewind()).context("write a list")?;
    Ok(status)
}

fn below(erofs: &Erofs, directory: &Inode, name: &str) -> Result<Inode> {
    match erofs.entries(directory)?.into_iter().find(|(entry, _)| entry == name.as_bytes()) {
        Some((_, number)) => erofs.inode(number),
        None => bail!("it has no {STATUS_FILE}"),
    }
}

/// What an attempt wrote is removed.
fn clear(build: &ImageBuild<'_>) -> Result<()> {
    for mut file in [build.image, build.details] {
        file.set_len(0).and_then(|()| file.rewind()).context("empty the file of an image")?;
    }
    Ok(())
}

/// Work in a thread of its own, not the runtime's: an interrupted kiln does not wait for it.
pub(super) async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(work()));
    result.await.context("the thread that reads an image has ended")?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(suite: &str, packages: &[&str], installed: usize, sha256: Option<String>) -> (PathBuf, Record) {
        let root = DebianRoot {
            suite: suite.into(),
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
            repositories: Vec::new(),
        };
        let recipe = ImageRecipe::new(Source::Debian(root), "amd64").expect("a recipe");
        let details = format!("inrelease {}\n{}", "a".repeat(64), "p 1\n".repeat(installed));
        let record = Record::new(&recipe, &details, sha256);
        (PathBuf::from(packages.join("+")), record)
    }

    fn chosen(images: Vec<(PathBuf, Record)>) -> Option<String> {
        let (_, wanted) = known("bookworm", &["gcc", "git", "make"], 0, None);
        let Source::Debian(root) = &wanted.recipe.source else { panic!("it is Debian's") };
        let base = nearest(&wanted.recipe, root, images.into_iter());
        base.map(|(path, _)| path.display().to_string())
    }

    #[test]
    fn the_nearest_image_has_the_most_packages_that_are_needed() {
        let digest = || Some("0".repeat(64));
        let of = |suite, packages: &[&str], installed| known(suite, packages, installed, digest());
        assert_eq!(chosen(vec![]), None);
        assert_eq!(chosen(vec![of("bookworm", &[], 99)]).as_deref(), Some(""));
        let several =
            || vec![of("bookworm", &[], 99), of("bookworm", &["gcc"], 120), of("bookworm", &["git"], 110)];
        assert_eq!(chosen(several()).as_deref(), Some("gcc"));
        for other in [
            of("bookworm", &["gcc", "perl"], 130),
            of("trixie", &["gcc", "git"], 140),
            of("bookworm", &["gcc", "git", "make"], 150),
            known("bookworm", &["gcc", "git"], 140, None),
            known("bookworm", &["gcc", "git"], 140, Some("not a digest".into())),
        ] {
            let mut images = several();
            images.insert(0, other);
            assert_eq!(chosen(images).as_deref(), Some("gcc"));
        }
    }

    #[test]
    fn an_image_that_is_not_what_was_noted_of_it_is_damaged() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("root.erofs");
        std::fs::write(&path, "an image").expect("written");
        let error = verified_status(&path, Some(&"0".repeat(64))).expect_err("damaged");
        assert!(error.to_string().contains("not what was noted of it"), "{error:#}");
        let sum = key::sha256(&File::open(&path).expect("there")).expect("read");
        assert!(verified_status(&path, Some(&sum)).is_err(), "it is no image");
        assert!(verified_status(&directory.path().join("gone"), Some(&sum)).is_err());
    }
}
