//! A project of `examples/`, as it is, and what its page has a user do where a registry cannot be reached: Composer's own is
//! one in the guest, Maven's mirror is none. Variables say that there is no network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The examples, by the names of their ecosystems.
pub(super) const NAMES: [&str; 7] = ["go", "uv", "pip", "composer", "npm", "cargo", "maven"];

/// Whether a build has a network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    On,
    Off,
}

/// A copy of an example.
pub(super) struct Project {
    name: &'static str,
    directory: PathBuf,
}

impl Project {
    /// Copies an example: its build file to `file.yaml`, the rest to `source`.
    pub(super) fn new(name: &'static str, directory: &Path) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        copy(&example, &directory.join("source"));
        Self { name, directory: directory.to_owned() }
    }

    /// Where its builds run.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its cache.
    pub(super) fn cache(&self) -> PathBuf {
        self.directory.join("cache")
    }

    /// Writes what the first build needs.
    pub(super) fn for_the_first(&self) {
        let text = match self.name {
            "composer" => fs::read_to_string(self.source("registry.yaml")).unwrap(),
            _ => self.build_file(),
        };
        if self.name == "maven" {
            self.follow("settings.xml");
        }
        self.write(&text, "");
    }

    /// Does in the project what its page prints in the block with these words.
    fn follow(&self, words: &str) {
        let page = fs::read_to_string(self.source("README.md")).unwrap();
        let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let block = blocks.into_iter().find(|block| block.contains(words)).unwrap();
        let status = Command::new("sh").args(["-ec", block]).current_dir(self.source("")).status().unwrap();
        assert!(status.success(), "{block}");
    }

    /// Writes what the second build needs: nothing but the word that there is no network, for tools that want it.
    pub(super) fn for_the_second(&self) {
        self.write(
            &self.build_file(),
            "UV_OFFLINE=1\nCARGO_NET_OFFLINE=true\nCOMPOSER=registry.json\nCOMPOSER_DISABLE_NETWORK=1\n",
        );
    }

    /// Has the build's last step count what it received.
    pub(super) fn count_received(&self) {
        let file = self.directory.join("file.yaml");
        let text = fs::read_to_string(&file).unwrap();
        if !text.ends_with(COUNT_RECEIVED) {
            fs::write(file, text + COUNT_RECEIVED).unwrap();
        }
    }

    /// Writes a build file that names Go's module cache.
    pub(super) fn with_module_cache(&self, path: &str) {
        let environment = format!("      - go\n  environment:\n    GOMODCACHE: {path}\n");
        self.write(&self.build_file().replacen("      - go\n", &environment, 1), "");
    }

    /// Whether the second build has a network.
    pub(super) fn network(&self) -> Network {
        if self.name == "pip" { Network::On } else { Network::Off }
    }

    /// Texts that the second build prints only if it did not use the cache.
    pub(super) fn must_not_say(&self) -> &'static [&'static str] {
        if self.name == "pip" { &["Building wheel", "Downloading"] } else { &[] }
    }

    fn write(&self, build_file: &str, variables: &str) {
        fs::write(self.directory.join("file.yaml"), build_file).unwrap();
        fs::write(self.directory.join("variables"), variables).unwrap();
    }

    fn build_file(&self) -> String {
        let text = fs::read_to_string(self.source("melange.yaml")).unwrap();
        if self.name == "pip" { text + COUNT_RECEIVED } else { text }
    }

    fn source(&self, path: &str) -> PathBuf {
        self.directory.join("source").join(path)
    }
}

/// The text before the number of [`Reported::received`](super::reported::Reported::received).
pub(super) const RECEIVED: &str = "received bytes:";

/// The last step of what needs a network to the end.
const COUNT_RECEIVED: &str = r#"
  - name: count
    runs: awk 'NR > 2 && $1 != "lo:" { sum += $2 } END { print "received bytes:", sum }' /proc/net/dev
"#;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
