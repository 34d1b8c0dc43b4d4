//! A project of `examples/`, with what the test adds: a registry of its own for Composer, settings that need no mirror for
//! Maven, variables that say that there is no network. The examples' build files are used as they are.

use std::{
    fs,
    path::{Path, PathBuf},
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
        let mut text = self.build_file();
        match self.name {
            "composer" => {
                let serve = SERVE_COMPOSER.replace('\n', "\n      ");
                text = text.replacen("pipeline:\n", &format!("pipeline:\n  - runs: |\n      {serve}\n\n"), 1);
                let json = fs::read_to_string(self.source("composer.json")).unwrap();
                fs::write(self.source("composer.json"), json.replacen('{', COMPOSER_REPOSITORY, 1)).unwrap();
            }
            "maven" => {
                fs::create_dir(self.source(".mvn")).unwrap();
                fs::write(self.source(".mvn/maven.config"), "--settings\n.mvn/settings.xml\n").unwrap();
                fs::write(self.source(".mvn/settings.xml"), "<settings/>\n").unwrap();
            }
            _ => {}
        }
        self.write(&text, "");
    }

    /// Writes what the second build needs: nothing but the word that there is no network, for tools that want it.
    pub(super) fn for_the_second(&self) {
        self.write(&self.build_file(), "UV_OFFLINE=1\nCARGO_NET_OFFLINE=true\nCOMPOSER_DISABLE_NETWORK=1\n");
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

    /// What of the cache even a build that needs nothing new may write again: its report may call that new, and nothing else.
    pub(super) fn rewritten(&self) -> &'static [&'static str] {
        match self.name {
            // A log of each run, and a line in the index for each use.
            "npm" => &["npm/_logs", "npm/_cacache/index-v5"],
            _ => &[],
        }
    }

    /// What the second build prints only if it did not use the cache.
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

/// What stands before the number of [`Told::received`](super::told::Told::received).
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

/// Put at the beginning of composer.json.
const COMPOSER_REPOSITORY: &str = r#"{
    "repositories": [{"type": "composer", "url": "http://127.0.0.1:8099"}, {"packagist.org": false}],
    "config": {"secure-http": false},"#;

/// A registry with the one package of the example, made of what Debian's Composer comes with.
const SERVE_COMPOSER: &str = r#"mkdir -p /tmp/registry
cd /usr/share/php/Psr/Log
zip --quiet --recurse-paths /tmp/registry/log.zip .
cat > /tmp/registry/packages.json <<'END'
{"packages": {"psr/log": {"1.1.4": {"name": "psr/log", "version": "1.1.4",
  "dist": {"type": "zip", "url": "http://127.0.0.1:8099/log.zip"}, "autoload": {"psr-4": {"Psr\\Log\\": ""}}}}}}
END
cd /tmp/registry
setsid php -S 127.0.0.1:8099 >/dev/null 2>&1 &
for n in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8099) 2>/dev/null && exit 0; sleep 0.1; done
exit 1"#;
