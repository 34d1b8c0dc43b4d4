//! The store of templates: a directory of a memory file and a state file for each, found by a key.
//!
//! ```text
//! templates/KEY/{memory,state,record.json}   a template
//! templates/KEY.lock                         held while KEY is made or removed; released by the kernel when its holder dies
//! templates/KEY.new/                         being made or removed: becomes KEY by one rename, or is swept
//! templates/KEY.refused                      why there is no template of this key
//! ```
//!
//! A template is valid until the host boots again: its key has the boot's id, so its files need not be flushed to the disk.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    files::{Durability, write_atomically},
    home::{self, Home},
    host,
    image::Key,
};

/// The directory of [`Home`] for templates.
const TEMPLATES: &str = "templates";

/// The most that all templates take of the disk, in bytes. The least recently used go first.
const MOST_BYTES: u64 = 2 << 30;

/// How long a reason against a template counts: the next build after that tries again.
const REFUSED_FOR: Duration = Duration::from_secs(60 * 60);

/// How long a template of another boot, a lock or a refusal stays without being used.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A template that can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    directory: PathBuf,
}

/// What a template is, and what its files were when it was made.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// For people: memory, processors, kernel.
    description: String,
    boot_id: String,
    memory: Option<[i64; 5]>,
    state_sha256: String,
}

/// An entry of [`Templates::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Memory, processors, kernel.
    pub description: String,
    /// What it takes of the disk, in bytes.
    pub bytes: u64,
    /// Whether this boot of the host can restore it.
    pub is_current: bool,
    used: SystemTime,
}

/// What is known of a key.
pub(super) enum Known {
    /// A template.
    Ready(Template),
    /// A reason for which there can be none.
    Refused(String),
    /// Nothing.
    Unknown,
}

impl Template {
    /// The file with the guest's memory. A restored guest maps it privately: nothing writes to it.
    pub(in crate::backend::qemu) fn memory(&self) -> PathBuf {
        self.directory.join("memory")
    }

    /// The file with the state of its devices.
    pub(super) fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Removes it, since it cannot be restored.
    pub(in crate::backend::qemu) fn remove(&self) {
        let parts = self.directory.parent().zip(self.directory.file_name());
        if let Some((templates, key)) = parts {
            let templates = Templates { directory: templates.to_owned() };
            if let Err(error) = templates.remove(&key.to_string_lossy()) {
                // The guest boots without it.
                tracing::debug!(error = %format!("{error:#}"), "a template stays");
            }
        }
    }

    /// Whether its files are those that were made: nothing else may be restored.
    fn is_intact(&self) -> bool {
        let record = fs::read(self.directory.join("record.json")).ok();
        let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        let Some(Record { memory: Some(memory), state_sha256, .. }) = record else { return false };
        host::identity(&self.memory()) == Some(memory)
            && sha256_of(&self.state()).is_ok_and(|sha256| sha256 == state_sha256)
    }
}

/// The templates of one home.
#[derive(Debug, Clone)]
pub struct Templates {
    directory: PathBuf,
}

impl Templates {
    /// Those of `home`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn of(home: &Home) -> Result<Self> {
        Ok(Self { directory: home.dir(TEMPLATES)? })
    }

    /// Whether the templates lie in a file system in memory.
    pub(super) fn is_in_memory(&self) -> Result<bool> {
        let doing = || format!("look at the file system of {}", self.directory.display());
        let kind = nix::sys::statfs::statfs(&self.directory).with_context(doing)?.filesystem_type();
        Ok(kind == nix::sys::statfs::TMPFS_MAGIC)
    }

    /// What is known of a key. A template with other files than those that were made is removed.
    pub(super) fn find(&self, key: &str) -> Result<Known> {
        let template = Template { directory: self.directory.join(key) };
        if template.directory.is_dir() {
            if template.is_intact() {
                home::used(&template.directory);
                return Ok(Known::Ready(template));
            }
            self.remove(key)?;
        }
        let refusal = self.refusal(key);
        let is_recent = age(&refusal).is_some_and(|age| age < REFUSED_FOR);
        match fs::read_to_string(&refusal) {
            Ok(why) if is_recent => Ok(Known::Refused(why)),
            Ok(_) | Err(_) => Ok(Known::Unknown),
        }
    }

    /// The path of a template's memory, whether it is there or not.
    pub(in crate::backend::qemu) fn path(home: &Home, key: &str) -> PathBuf {
        Template { directory: home.root().join(TEMPLATES).join(key) }.memory()
    }

    /// The right to make or remove this template; `None` while another process has it.
    pub(super) fn lock(&self, key: &str) -> Result<Option<Flock<File>>> {
        let path = self.directory.join(format!("{key}.lock"));
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno).with_context(|| format!("lock {}", path.display())),
        }
    }

    /// An empty directory for a template in the making, which is removed with this value. The caller has the lock.
    pub(super) fn new_directory(&self, key: &str) -> Result<NewDirectory> {
        let path = self.new_path(key);
        remove_directory(&path)?;
        // Other users must not read the memory of a guest.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("make {}", path.display()))?;
        Ok(NewDirectory(path))
    }

    /// Takes a directory with `memory` and `state`, which no process has open, as the template of a key. The caller has the lock.
    pub(super) fn take(&self, key: &str, made: &NewDirectory, description: &str) -> Result<Template> {
        let made = made.path();
        let template = Template { directory: self.directory.join(key) };
        let record = Record {
            description: description.into(),
            boot_id: host::boot_id()?,
            memory: host::identity(&made.join("memory")),
            state_sha256: sha256_of(&made.join("state"))?,
        };
        let bytes = serde_json::to_vec(&record).context("encode the record of a template")?;
        write_atomically(&made.join("record.json"), &bytes, Durability::Cache)?;
        remove_directory(&template.directory)?;
        fs::rename(made, &template.directory)
            .with_context(|| format!("rename {} to {}", made.display(), template.directory.display()))?;
        self.bound(key)?;
        self.sweep(key)?;
        Ok(template)
    }

    /// Notes why there is no template of this key: for [`REFUSED_FOR`].
    pub(super) fn refuse(&self, key: &str, why: &str) -> Result<()> {
        write_atomically(&self.refusal(key), why.as_bytes(), Durability::Cache)
    }

    /// All templates, the most recently used first.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let doing = || format!("read {}", self.directory.display());
        let boot_id = host::boot_id()?;
        let mut listed = Vec::new();
        for entry in fs::read_dir(&self.directory).with_context(doing)? {
            let path = entry.with_context(doing)?.path();
            let record = fs::read(path.join("record.json")).ok();
            let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
            let key = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Another process may have removed it meanwhile.
            if let (Some(record), Ok(metadata)) = (record, fs::metadata(&path))
                && is_key(&key)
            {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let is_current = record.boot_id == boot_id;
                let bytes = disk_usage(&path);
                listed.push(Listed { key, description: record.description, bytes, is_current, used });
            }
        }
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.used));
        Ok(listed)
    }

    /// Removes a template, unless another process makes or removes it now. A guest that was restored from it keeps its memory.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, key: &str) -> Result<()> {
        let Some(_lock) = self.lock(key)? else { return Ok(()) };
        let (path, new) = (self.directory.join(key), self.new_path(key));
        remove_directory(&new)?;
        match fs::rename(&path, &new) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("rename {}", path.display())),
            Ok(()) => remove_directory(&new),
        }
    }

    /// Removes what no process holds the lock of: templates that were never completed, directories without a record, and old locks
    /// and refusals. `own` is the key whose lock the caller has.
    fn sweep(&self, own: &str) -> Result<()> {
        let doing = || format!("read {}", self.directory.display());
        for entry in fs::read_dir(&self.directory).with_context(doing)? {
            let path = entry.with_context(doing)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let key = name.split('.').next().unwrap_or_default();
            if !is_key(key) || key == own {
                continue;
            }
            let is_old = age(&path).is_some_and(|age| age > KEPT_FOR);
            let goes = match name.strip_prefix(key) {
                Some(".new") => true,
                Some("") => !path.join("record.json").exists(),
                Some(".lock") => is_old && !self.directory.join(key).exists(),
                Some(".refused") => is_old,
                _ => false,
            };
            if goes && let Some(_lock) = self.lock(key)? {
                // Another process may have removed it meanwhile.
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                tracing::debug!(?path, ?removed, "swept");
            }
        }
        Ok(())
    }

    /// Removes the templates that were not used for this long, and what interrupted processes have left; returns the templates.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn prune(&self, unused_for: Duration) -> Result<Vec<Listed>> {
        let now = SystemTime::now();
        let mut removed = Vec::new();
        for listed in self.list()? {
            if now.duration_since(listed.used).is_ok_and(|unused| unused >= unused_for) {
                self.remove(&listed.key)?;
                removed.push(listed);
            }
        }
        self.sweep("")?;
        Ok(removed)
    }

    /// Removes what no process can restore any more, and the least recently used templates above [`MOST_BYTES`]; `kept` stays.
    fn bound(&self, kept: &str) -> Result<()> {
        let (mut total, now) = (0, SystemTime::now());
        for Listed { key, bytes, is_current, used, .. } in self.list()? {
            total += bytes;
            // A home may be shared with hosts that have other boots.
            let is_unused = !is_current && now.duration_since(used).is_ok_and(|unused| unused > KEPT_FOR);
            if key != kept && (is_unused || total > MOST_BYTES) {
                self.remove(&key)?;
            }
        }
        Ok(())
    }

    fn new_path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.new"))
    }

    fn refusal(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.refused"))
    }
}

/// A template in the making. What was not taken is removed.
pub(super) struct NewDirectory(PathBuf);

impl NewDirectory {
    /// Where its files go.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        // One that was taken has another name; what stays is swept.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a name is that of a template: a SHA-256 in lower-case hexadecimal digits.
fn is_key(name: &str) -> bool {
    Key::parse(name).is_some()
}

/// How long ago a file was written.
fn age(path: &Path) -> Option<Duration> {
    SystemTime::now().duration_since(fs::metadata(path).ok()?.modified().ok()?).ok()
}

fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn disk_usage(directory: &Path) -> u64 {
    let files = ["memory", "state"].map(|name| fs::metadata(directory.join(name)));
    // st_blocks counts units of 512 bytes (stat(3type)).
    files.into_iter().flatten().map(|metadata| metadata.blocks() * 512).sum()
}

fn sha256_of(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
    const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000bb";

    fn templates() -> (tempfile::TempDir, Templates) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let templates = Templates::of(&Home::at(directory.path())).expect("made");
        (directory, templates)
    }

    fn make(templates: &Templates, key: &str) -> Template {
        let directory = templates.new_directory(key).expect("made");
        fs::write(directory.path().join("memory"), [1; 8192]).expect("written");
        fs::write(directory.path().join("state"), "state").expect("written");
        templates.take(key, &directory, "1 GiB, 2 processors").expect("taken")
    }

    fn is_known(templates: &Templates, key: &str) -> bool {
        matches!(templates.find(key).expect("found"), Known::Ready(_))
    }

    #[test]
    fn a_template_is_found_until_one_of_its_files_changes() {
        let (_directory, templates) = templates();
        for damage in ["memory", "state", "record.json"] {
            let template = make(&templates, KEY);
            assert!(is_known(&templates, KEY));
            let path = template.directory.join(damage);
            let mut bytes = fs::read(&path).expect("read");
            bytes[0] ^= 1;
            fs::write(&path, bytes).expect("written");
            assert!(!is_known(&templates, KEY), "{damage}");
            assert!(!template.directory.exists(), "{damage}");
        }
        make(&templates, KEY);
        assert_eq!(templates.list().expect("listed").len(), 1);
        fs::remove_file(Template { directory: templates.directory.join(KEY) }.memory()).expect("removed");
        assert!(!is_known(&templates, KEY));
    }

    #[test]
    fn one_process_makes_a_template_at_a_time() {
        let (_directory, templates) = templates();
        let held = templates.lock(KEY).expect("opened").expect("free");
        assert!(templates.lock(KEY).expect("opened").is_none());
        assert!(templates.lock(OTHER).expect("opened").is_some());
        drop(held);
        assert!(templates.lock(KEY).expect("opened").is_some());
    }

    #[test]
    fn what_is_not_complete_is_swept_unless_its_lock_is_held() {
        let (_directory, templates) = templates();
        let (new, unknown) = (templates.new_path(OTHER), templates.directory.join("old"));
        for path in [&new, &unknown] {
            fs::create_dir(path).expect("made");
            fs::write(path.join("memory"), [1; 4096]).expect("written");
        }
        let held = templates.lock(OTHER).expect("opened").expect("free");
        make(&templates, KEY);
        assert!(new.exists());
        drop(held);
        templates.prune(Duration::from_secs(3600)).expect("pruned");
        assert!(!new.exists() && unknown.exists());
        drop(templates.new_directory(OTHER).expect("made"));
        assert!(!new.exists(), "a template that was not taken goes with its maker");
        assert_eq!(templates.list().expect("listed").len(), 1);
    }

    #[test]
    fn templates_that_are_not_used_go() {
        let (_directory, templates) = templates();
        make(&templates, KEY);
        assert_eq!(templates.prune(Duration::from_secs(3600)).expect("pruned"), []);
        assert_eq!(templates.prune(Duration::ZERO).expect("pruned").len(), 1);
        assert!(!is_known(&templates, KEY));
    }

    #[test]
    fn a_refusal_is_remembered() {
        let (_directory, templates) = templates();
        templates.refuse(KEY, "the kernel is too old").expect("noted");
        assert!(
            matches!(templates.find(KEY).expect("found"), Known::Refused(why) if why.contains("too old"))
        );
    }
}
