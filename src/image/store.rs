//! The image store: a directory of erofs images, each made once and found by the key of its origin.
//!
//! ```text
//! images/KEY/root.erofs      the image
//! images/KEY/image.json      its Record
//! images/KEY.lock            held while KEY is made or removed; released by the kernel when its holder dies
//! images/.making-KEY-*/      an attempt: becomes KEY by one rename, or is swept by the next one to hold the lock
//! ```
//!
//! Before it: a recipe. After it: QEMU opens `root.erofs`, read-only; one that is removed meanwhile stays readable.

use std::{
    ffi::OsString,
    fmt::Display,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    unistd::geteuid,
};
use sha2::{Digest, Sha256};

use super::{
    apk::Access,
    attempt::{Attempt, attempt_key},
    builder::{AptQuery, ImageBuild},
    extend,
    kept::{self, Kept},
    key::{self, Key},
    record::{Record, read_record},
    staging,
};
use crate::{
    env::Env,
    event::{Event, ImageState, Sink, WarningKind},
    exit::Failure,
    home::Home,
    plan::{DebianRoot, ImageRecipe, ImageSource as Source},
    process::{self, Spawner},
    rundir::scratch_dir,
};

/// Part of every key: to be raised when images are made differently.
const FORMAT: &str = "kiln image 1";

/// Part of the keys of roots of apk's packages: to be raised when they are composed differently.
const COMPOSITION: &str = "apk 3";

/// Variables that apt and mmdebstrap read.
const VARIABLES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "SOURCE_DATE_EPOCH"];

/// The images of one home.
#[derive(Debug, Clone)]
pub struct Store {
    images: PathBuf,
    memos: PathBuf,
    /// Lists of distributions' packages.
    pub(super) names: PathBuf,
    scratch: PathBuf,
    variables: Vec<(OsString, OsString)>,
    pub(super) apk: Access,
}

/// An image that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The key of its origin.
    pub key: Key,
    /// Its erofs file.
    pub path: PathBuf,
    /// The size of that file.
    pub bytes: u64,
    /// Its record.
    pub record: Record,
}

impl Image {
    /// Waits until no other process makes, removes or copies this image, and excludes others meanwhile.
    pub async fn lock(&self) -> Result<Flock<File>> {
        let entry = self.path.parent().context("an image is in its entry")?;
        lock_when_free(open_lock(&entry.with_extension("lock"))?, &self.key).await
    }
}

impl Store {
    /// The store of `home`. Roots are put together below `QEMU_DISKS_PATH`, else `TMPDIR`, else `/var/tmp`.
    pub fn open(home: &Home, env: &Env) -> Result<Self> {
        let scratch = scratch_dir(env);
        let scratch = std::path::absolute(scratch).with_context(|| format!("find {}", scratch.display()))?;
        let set = |name: &str| env.get(name).map(|value| (OsString::from(name), value.to_owned()));
        let variables = VARIABLES.iter().filter_map(|name| set(name)).collect();
        Ok(Self {
            images: home.dir("images")?,
            memos: home.dir("memos")?,
            names: home.dir("packages")?,
            scratch,
            variables,
            apk: Access::new(home.dir("apk")?, env),
        })
    }

    /// The key of a recipe. A tar that was not seen before is read; of a directory every entry is looked at.
    pub fn key(&self, recipe: &ImageRecipe) -> Result<Key> {
        let made_from = match &recipe.source {
            Source::Debian(_) => serde_json::to_string(recipe).context("encode the recipe")?,
            Source::Apk(_) => {
                let recipe = serde_json::to_string(recipe).context("encode the recipe")?;
                format!("{COMPOSITION}\n{recipe}")
            }
            // An ordinary user's image has other owners.
            Source::Directory(path) => format!("directory {} {}", geteuid().is_root(), key::of_tree(path)?),
            Source::Tar(path) => format!("tar {}", key::of_file(path, &self.memos)?),
        };
        Ok(Key::from(Sha256::new_with_prefix(format!("{FORMAT}\n{made_from}"))))
    }

    /// The image of a recipe, if it has been made.
    pub fn find(&self, recipe: &ImageRecipe) -> Result<Option<Image>> {
        self.read(&self.key(recipe)?)
    }

    /// The image of a recipe, made if it is not there. Only one process makes it; others wait for it.
    pub async fn ensure(
        &self,
        recipe: &ImageRecipe,
        spawner: &Spawner,
        sink: &mut dyn Sink,
    ) -> Result<Image> {
        let key = self.key(recipe)?;
        self.sweep_attempts(sink);
        if let Some(image) = self.read(&key)? {
            tell(sink, recipe, ImageState::Present);
            return Ok(image);
        }
        let _lock = self.lock(&key, recipe, sink).await?;
        if let Some(image) = self.read(&key)? {
            tell(sink, recipe, ImageState::Present);
            return Ok(image);
        }
        self.make(&key, recipe, spawner, sink).await
    }

    /// As [`Store::ensure`], but an image is made anew if its distribution has changed since, or that is not known.
    pub async fn refresh(
        &self,
        recipe: &ImageRecipe,
        spawner: &Spawner,
        sink: &mut dyn Sink,
    ) -> Result<Image> {
        let Source::Debian(root) = &recipe.source else {
            return self.ensure(recipe, spawner, sink).await;
        };
        let key = self.key(recipe)?;
        self.sweep_attempts(sink);
        let _lock = self.lock(&key, recipe, sink).await?;
        if let Some(image) = self.read(&key)? {
            let staging = self.request_staging(&key);
            let now = self.apt_query(root, &recipe.arch, &staging, spawner).in_release().await?;
            if image.record.in_release.as_deref() == Some(now.as_str()) {
                tell(sink, recipe, ImageState::Present);
                return Ok(image);
            }
        }
        self.make(&key, recipe, spawner, sink).await
    }

    /// A file without a name on the file system of the images.
    pub(super) fn scratch_file(&self) -> Result<File> {
        tempfile::tempfile_in(&self.images)
            .with_context(|| format!("make a file in {}", self.images.display()))
    }

    pub(super) fn request_staging(&self, key: &Key) -> PathBuf {
        self.scratch.join(format!("kiln-apt-{}-{}", &key.as_str()[..16], std::process::id()))
    }

    pub(super) fn apt_query<'q>(
        &'q self,
        root: &'q DebianRoot,
        arch: &'q str,
        staging: &'q Path,
        spawner: &'q Spawner,
    ) -> AptQuery<'q> {
        AptQuery { root, arch, staging, variables: &self.variables, spawner }
    }

    /// All images, by key.
    pub fn list(&self) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        for name in self.names()? {
            images.extend(Key::parse(&name).map(|key| self.read(&key)).transpose()?.flatten());
        }
        images.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(images)
    }

    /// Removes the `unwanted` images, and attempts that were interrupted. Images that are being made stay. Returns the removed
    /// images.
    pub fn prune(&self, unwanted: impl Fn(&Image) -> bool, sink: &mut dyn Sink) -> Result<Vec<Image>> {
        let mut removed = Vec::new();
        let images: Vec<Image> = self.list()?.into_iter().filter(|image| unwanted(image)).collect();
        self.sweep_attempts(sink);
        for image in images {
            let Some(_lock) = self.try_lock(&image.key)? else { continue };
            self.remove(&image.key)?;
            removed.push(image);
        }
        Ok(removed)
    }

    async fn make(
        &self,
        key: &Key,
        recipe: &ImageRecipe,
        spawner: &Spawner,
        sink: &mut dyn Sink,
    ) -> Result<Image> {
        tell(sink, recipe, ImageState::Making);
        let fill = async |build: &ImageBuild<'_>, sink: &mut dyn Sink| {
            if let Source::Apk(root) = &recipe.source {
                return self.apk.compose(root, &recipe.arch, build.image, sink).await;
            }
            // A record that cannot be read is told of where it is needed.
            let known = self.list().unwrap_or_default();
            extend::run(build, known.into_iter().map(|image| (image.path, image.record)), sink).await
        };
        let image = self.keep(key, recipe, spawner, sink, fill).await?;
        tell(sink, recipe, ImageState::Made);
        Ok(image)
    }

    /// Puts an image that `fill` makes into the store. The lock of the key is held.
    pub(super) async fn keep(
        &self,
        key: &Key,
        recipe: &ImageRecipe,
        spawner: &Spawner,
        sink: &mut dyn Sink,
        fill: impl AsyncFnOnce(&ImageBuild<'_>, &mut dyn Sink) -> Result<()>,
    ) -> Result<Image> {
        self.sweep(key)?;
        let attempt = Attempt::new(&self.images, &self.scratch, key)?;
        let (image, details) = (attempt.file("root.erofs")?, attempt.file("details")?);
        let staging = &attempt.staging;
        // The reaper removes it if kiln is killed, as it does the staging directory; after a power cut the next kiln sweeps.
        let at_end = spawner.remove_at_end(attempt.path());
        let variables = &self.variables;
        let build = ImageBuild { recipe, image: &image, details: &details, staging, variables, spawner };
        fill(&build, sink).await?;
        at_end.forget(attempt.path());
        attempt.keep(recipe, &image, &self.images.join(key.as_str()))?;
        self.read(key)?.context("an image that was just made is gone")
    }

    pub(super) fn read(&self, key: &Key) -> Result<Option<Image>> {
        let entry = self.images.join(key.as_str());
        let path = entry.join("root.erofs");
        let damaged = |name: &str, why: &dyn Display| {
            Failure::host(
                format!("{}/{name} is damaged: {why}", entry.display()),
                format!("Remove {} and it will be made anew.", entry.display()),
            )
        };
        let record = match Kept::of(kept::open(&entry.join("image.json")).and_then(read_record)) {
            Ok(Kept::Whole(record)) => record,
            Ok(Kept::Missing) => return Ok(None),
            Ok(Kept::Damaged(why)) => return Err(damaged("image.json", &why).into()),
            Err(error) => return Err(error).with_context(|| format!("read {}", entry.display())),
        };
        let image = kept::open(&path).and_then(|file| file.metadata());
        let bytes = image.map_err(|error| damaged("root.erofs", &error))?.len();
        Ok(Some(Image { key: key.clone(), path, bytes, record }))
    }

    fn names(&self) -> Result<Vec<String>> {
        let context = || format!("read {}", self.images.display());
        let entries = fs::read_dir(&self.images).with_context(context)?;
        entries
            .map(|entry| Ok(entry.with_context(context)?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn remove(&self, key: &Key) -> Result<()> {
        // Renamed first, so that no process finds a part of it.
        let entry = self.images.join(key.as_str());
        let gone = self.images.join(format!(".making-{key}-removed"));
        fs::rename(&entry, &gone).with_context(|| format!("remove {}", entry.display()))?;
        process::remove(&gone).with_context(|| format!("remove {}", gone.display()))
    }

    pub(super) fn lock_file(&self, key: &Key) -> Result<File> {
        open_lock(&self.images.join(format!("{key}.lock")))
    }

    fn try_lock(&self, key: &Key) -> Result<Option<Flock<File>>> {
        match Flock::lock(self.lock_file(key)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error).with_context(|| format!("lock image {key}")),
        }
    }

    pub(super) async fn lock(
        &self,
        key: &Key,
        recipe: &ImageRecipe,
        sink: &mut dyn Sink,
    ) -> Result<Flock<File>> {
        if let Some(lock) = self.try_lock(key)? {
            return Ok(lock);
        }
        tell(sink, recipe, ImageState::Waiting);
        lock_when_free(self.lock_file(key)?, key).await
    }

    /// Removes interrupted attempts at any key that no process makes now. A failure does not stop a build.
    pub(super) fn sweep_attempts(&self, sink: &mut dyn Sink) {
        let attempts = || -> Result<()> {
            for key in self.names()?.iter().filter_map(|name| attempt_key(name)) {
                if self.try_lock(&key)?.is_some() {
                    self.sweep(&key)?;
                }
            }
            staging::sweep(&self.scratch)
        };
        if let Err(error) = attempts() {
            let text = format!("what an interrupted build of an image has left stays: {error:#}");
            sink.emit(Event::Warning { kind: WarningKind::ImageStays, text });
        }
    }

    /// Removes interrupted attempts at this key, whose lock is held.
    fn sweep(&self, key: &Key) -> Result<()> {
        for name in self.names()?.iter().filter(|name| attempt_key(name).as_ref() == Some(key)) {
            let attempt = self.images.join(name);
            if let Ok(staging) = fs::read_link(attempt.join("staging")) {
                staging::sweep_one(&staging)?;
            }
            process::remove(&attempt).with_context(|| format!("remove {}", attempt.display()))?;
        }
        Ok(())
    }
}

fn open_lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("open {}", path.display()))
}

async fn lock_when_free(file: File, key: &Key) -> Result<Flock<File>> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // A thread of its own, not the runtime's: an interrupted kiln must not wait for it. Without a
    // receiver the lock is dropped with the message.
    std::thread::spawn(move || sender.send(Flock::lock(file, FlockArg::LockExclusive)));
    let locked = receiver.await.context("the thread that waits for a lock is gone")?;
    locked.map_err(|(_, error)| error).with_context(|| format!("lock image {key}"))
}

fn tell(sink: &mut dyn Sink, recipe: &ImageRecipe, state: ImageState) {
    sink.emit(Event::Image { image: recipe.to_string(), state });
}
