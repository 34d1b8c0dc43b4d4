//! The store of templates: a directory of a memory file and a state file for each, found by a key.
//!
//! ```text
//! templates/KEY/{memory,state,record.json}   a template
//! templates/KEY.lock                         held while KEY is made or removed
//! templates/KEY.new/                         being made: becomes KEY by one rename, or is removed by the next one to hold the lock
//! templates/KEY.refused                      why this kernel cannot start from a template
//! ```
//!
//! A template is valid until the host boots again: its key has the boot's id, so its files need not be flushed to the disk.

use std::{
    fs::{self, File},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    files::{Durability, write_atomically},
    home::{self, Home},
    host,
};

/// The directory of [`Home`] for templates.
const TEMPLATES: &str = "templates";

/// The most that all templates take of the disk, in bytes. The least recently used go first.
pub const MOST_BYTES: u64 = 2 << 30;

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
    /// The file with the guest's memory. A restored guest maps it privately, or has a copy: nothing writes to it.
    pub(in crate::backend::qemu) fn memory(&self) -> PathBuf {
        self.directory.join("memory")
    }

    /// The file with the state of its devices.
    pub(super) fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Removes it, since it cannot be restored.
    pub(in crate::backend::qemu) fn remove(&self) {
        // Best effort: the guest boots without it.
        let _ = fs::remove_dir_all(&self.directory);
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
        match fs::read_to_string(self.refusal(key)) {
            Ok(why) => Ok(Known::Refused(why)),
            Err(_) => Ok(Known::Unknown),
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
        Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok())
    }

    /// An empty directory for a template in the making. The caller has the lock.
    pub(super) fn new_directory(&self, key: &str) -> Result<PathBuf> {
        let path = self.directory.join(format!("{key}.new"));
        remove_directory(&path)?;
        // Other users must not read the memory of a guest.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Takes a directory with `memory` and `state`, which no process has open, as the template of a key. The caller has the lock.
    pub(super) fn take(&self, key: &str, made: &Path, description: &str) -> Result<Template> {
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
        Ok(template)
    }

    /// Notes why there can be no template of this key.
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
                && !key.ends_with(".new")
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

    /// Removes a template. A guest that was restored from it keeps its memory.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, key: &str) -> Result<()> {
        remove_directory(&self.directory.join(key))
    }

    /// Removes the templates that were not used for this long, and those of earlier boots of the host; returns them.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn prune(&self, unused_for: Duration) -> Result<Vec<Listed>> {
        let now = SystemTime::now();
        let mut removed = Vec::new();
        for listed in self.list()? {
            let is_old = now.duration_since(listed.used).is_ok_and(|unused| unused >= unused_for);
            if is_old || !listed.is_current {
                self.remove(&listed.key)?;
                removed.push(listed);
            }
        }
        Ok(removed)
    }

    /// Removes what no process can restore any more, and the least recently used templates above [`MOST_BYTES`]; `kept` stays.
    fn bound(&self, kept: &str) -> Result<()> {
        let mut total = 0;
        for Listed { key, bytes, is_current, .. } in self.list()? {
            total += bytes;
            if key != kept && (!is_current || total > MOST_BYTES) {
                self.remove(&key)?;
                // Best effort: another kiln may hold the lock of a template that it makes anew.
                let _ = fs::remove_file(self.refusal(&key));
            }
        }
        Ok(())
    }

    fn refusal(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.refused"))
    }
}

fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
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

    fn templates() -> (tempfile::TempDir, Templates) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let templates = Templates::of(&Home::at(directory.path())).expect("made");
        (directory, templates)
    }

    fn make(templates: &Templates, key: &str) -> Template {
        let directory = templates.new_directory(key).expect("made");
        fs::write(directory.join("memory"), [1; 8192]).expect("written");
        fs::write(directory.join("state"), "state").expect("written");
        templates.take(key, &directory, "1 GiB, 2 processors").expect("taken")
    }

    fn is_known(templates: &Templates, key: &str) -> bool {
        matches!(templates.find(key).expect("found"), Known::Ready(_))
    }

    #[test]
    fn a_template_is_found_until_one_of_its_files_changes() {
        let (_directory, templates) = templates();
        for damage in ["memory", "state", "record.json"] {
            let template = make(&templates, "key");
            assert!(is_known(&templates, "key"));
            let path = template.directory.join(damage);
            let mut bytes = fs::read(&path).expect("read");
            bytes[0] ^= 1;
            fs::write(&path, bytes).expect("written");
            assert!(!is_known(&templates, "key"), "{damage}");
            assert!(!template.directory.exists(), "{damage}");
        }
        make(&templates, "key");
        assert_eq!(templates.list().expect("listed").len(), 1);
        fs::remove_file(Template { directory: templates.directory.join("key") }.memory()).expect("removed");
        assert!(!is_known(&templates, "key"));
    }

    #[test]
    fn one_process_makes_a_template_at_a_time() {
        let (_directory, templates) = templates();
        let held = templates.lock("key").expect("opened").expect("free");
        assert!(templates.lock("key").expect("opened").is_none());
        assert!(templates.lock("other").expect("opened").is_some());
        drop(held);
        assert!(templates.lock("key").expect("opened").is_some());
    }

    #[test]
    fn templates_of_another_boot_go_when_one_is_made() {
        let (_directory, templates) = templates();
        let old = make(&templates, "old");
        let record = old.directory.join("record.json");
        let text = fs::read_to_string(&record).expect("read");
        let boot_id = host::boot_id().expect("a boot id");
        fs::write(&record, text.replace(&boot_id, "another")).expect("written");
        make(&templates, "new");
        let keys: Vec<String> = templates.list().expect("listed").into_iter().map(|one| one.key).collect();
        assert_eq!(keys, ["new"]);
    }

    #[test]
    fn templates_that_are_not_used_go() {
        let (_directory, templates) = templates();
        make(&templates, "key");
        assert_eq!(templates.prune(Duration::from_secs(3600)).expect("pruned"), []);
        assert_eq!(templates.prune(Duration::ZERO).expect("pruned").len(), 1);
        assert!(!is_known(&templates, "key"));
    }

    #[test]
    fn a_refusal_is_remembered() {
        let (_directory, templates) = templates();
        templates.refuse("key", "the kernel is too old").expect("noted");
        assert!(
            matches!(templates.find("key").expect("found"), Known::Refused(why) if why.contains("too old"))
        );
    }
}
