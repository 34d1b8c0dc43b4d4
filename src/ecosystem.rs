//! All that kiln knows of the tools that keep a cache (package managers, compilers): a file for each. It imports nothing else of
//! kiln.
//!
//! From here come the variables of every step (`compile`), the files that a tool reads instead of a variable (`plan`), the rules
//! for commits, reports, prunes and verifications (`cache`), and the words of `--cache-also`.

mod bazel;
mod bundler;
pub mod cargo;
mod ccache;
mod composer;
mod content;
mod cpan;
mod expected;
pub mod fetch;
mod git;
pub mod git_checkout;
mod go;
mod gradle;
mod maven;
mod model;
mod npm;
mod nuget;
mod pattern;
mod pip;
mod pnpm;
mod r;
mod sccache;
mod table;
mod unit;
mod uv;
mod verify;
mod yarn;
mod zip;

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

pub use content::{Content, EntryType, Files};
pub use expected::{Checksum, Digest, Expected};
pub use model::{Conflict, Ecosystem, Kind, Lock, References, Rule, Scope, Unit};
pub use table::{CACHE, ECOSYSTEMS, always, named, of, on_request};
pub use verify::{expected, verify};

/// A directory at the top that no ecosystem owns is one entry.
const WHOLE_DIRECTORY: &str = "*/";

/// The kind of a path of the cache. A path that no ecosystem owns is kept.
pub fn kind(path: &Path) -> Kind {
    of(path).map_or(Kind::Kept, |(ecosystem, rest)| ecosystem.kind(rest))
}

/// The entry that a file of the cache is removed with. A directory that no ecosystem owns is one entry, since its structure is
/// not known.
pub fn unit(path: &Path) -> Unit {
    let all = pattern::components(path);
    let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
    let (skipped, found) = match of(path) {
        Some((ecosystem, _)) => (1, unit::find(ecosystem.units, &all[1..])),
        None => {
            let found = unit::find(git_checkout::UNITS, &all);
            (0, found.or_else(|| unit::find(&[WHOLE_DIRECTORY], &all)))
        }
    };
    match found {
        Some(unit::Unit { components, name }) => Unit { name, components: skipped + components },
        None => Unit { name: all[skipped..].join("/"), components: all.len() },
    }
}

/// Whether a path is that of an unfinished file, if no process uses the cache.
pub fn is_unfinished(path: &Path) -> bool {
    let (patterns, path) = match of(path) {
        Some((ecosystem, rest)) => (ecosystem.unfinished, rest),
        None if path.as_os_str().as_bytes().starts_with(fetch::UNFINISHED.as_bytes()) => return true,
        None => (git_checkout::UNFINISHED, path),
    };
    let path = pattern::components(path);
    patterns.iter().any(|pattern| pattern::covers(pattern, &path))
}

/// How a conflict about a path of the cache is decided.
pub fn conflict_rule(path: &[u8]) -> Rule {
    let path = Path::new(OsStr::from_bytes(path));
    let (conflicts, rest) = match (of(path), path.strip_prefix(git_checkout::DIRECTORY)) {
        (Some((ecosystem, rest)), _) => (ecosystem.conflicts, rest),
        (None, Ok(rest)) => (git_checkout::CONFLICTS, rest),
        (None, Err(_)) => return Rule::Last,
    };
    let rest = rest.as_os_str().as_bytes();
    let decided = conflicts.iter().find_map(|conflict| conflict.decide(rest));
    // A tool has no rule about its directory itself.
    decided.filter(|_| !rest.is_empty()).unwrap_or(Rule::Last)
}

/// The directories that are made in every cache that a build may write, the innermost first.
pub fn persistent_directories() -> impl DoubleEndedIterator<Item = String> {
    let of_tool = |ecosystem: &Ecosystem| {
        let directory = ecosystem.directory;
        let below: Vec<String> =
            ecosystem.persists.iter().map(|name| format!("{directory}/{name}")).collect();
        let own = (!below.is_empty()).then(|| directory.to_owned());
        below.into_iter().chain(own)
    };
    ECOSYSTEMS.iter().flat_map(of_tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_names_and_variables_are_each_ones_own() {
        let mut seen = std::collections::BTreeSet::new();
        for ecosystem in ECOSYSTEMS {
            assert!(seen.insert(("name", ecosystem.name)), "{}", ecosystem.name);
            assert!(seen.insert(("directory", ecosystem.directory)), "{}", ecosystem.name);
            for (variable, _) in ecosystem.variables {
                assert!(seen.insert(("variable", variable)), "{variable}");
            }
        }
    }

    #[test]
    fn every_value_that_is_a_path_lies_in_the_ecosystems_own_directory() {
        for ecosystem in ECOSYSTEMS {
            let own = format!("{CACHE}/{}", ecosystem.directory);
            let texts = ecosystem.variables.iter().chain(ecosystem.files).map(|(_, text)| text);
            let paths: Vec<&str> = texts
                .flat_map(|text| text.split(['=', '\n', ' ']))
                .filter(|word| word.starts_with(CACHE))
                .collect();
            // Maven has no variable for its repository: a pipeline links it.
            assert_eq!(paths.is_empty(), ecosystem.name == "maven", "{}", ecosystem.name);
            assert!(paths.iter().all(|path| Path::new(path).starts_with(&own)), "{}", ecosystem.name);
        }
    }

    #[test]
    fn paths_find_their_ecosystem_and_their_kind() {
        for (path, kind_of_it) in [
            ("sha256:00", Kind::Kept),
            ("own/thing", Kind::Kept),
            ("gomodcache/cache/download/a/@v/v1.zip", Kind::Kept),
            ("gomodcache/cache/lock", Kind::Junk),
            ("npm/_cacache/content-v2/sha512/aa/bb", Kind::Kept),
            ("npm/_logs/2024-debug-0.log", Kind::Junk),
            ("npm/_update-notifier-last-checked", Kind::Junk),
            ("cargo/registry", Kind::Kept),
            ("cargo/registry/cache/host-1/hex.crate", Kind::Kept),
            ("cargo/registry/src/host-1/hex/lib.rs", Kind::Junk),
            ("cargo/bin/tool", Kind::Junk),
            ("cargo/config.toml", Kind::Junk),
            ("cargo/.package-cache", Kind::Junk),
            ("uv/wheels-v1/pypi/a/.lock", Kind::Junk),
            ("uv/archive-v0/x/a.py", Kind::Kept),
            ("uv/CACHEDIR.TAG", Kind::Rewritten),
            ("m2repository/a/b.jar", Kind::Kept),
            ("m2repository/a/resolver-status.properties", Kind::Rewritten),
            ("m2repository/a/b.jar.lastUpdated", Kind::Junk),
            ("composer/files/psr/log/x.zip", Kind::Kept),
            ("composer/repo/x/packages.json", Kind::Rewritten),
            ("gradle/daemon/8/x.log", Kind::Junk),
            ("gradle/init.d/a.gradle", Kind::Junk),
            ("gradle/caches/modules-2/a", Kind::Kept),
        ] {
            assert_eq!(kind(Path::new(path)), kind_of_it, "{path}");
        }
        assert_eq!(of(Path::new("pip/http/a")).map(|(found, _)| found.name), Some("pip"));
        assert_eq!(of(Path::new("pipx")), None);
    }

    #[test]
    fn files_of_one_entry_have_one_name() {
        for (name, paths) in [
            (
                "github.com/!burnt!sushi/toml/v1.0.0",
                &[
                    ("gomodcache/cache/download/github.com/!burnt!sushi/toml/@v/v1.0.0.zip", 8),
                    ("gomodcache/cache/download/github.com/!burnt!sushi/toml/@v/v1.0.0.ziphash", 8),
                    ("gomodcache/github.com/!burnt!sushi/toml@v1.0.0/internal/a.go", 4),
                ][..],
            ),
            ("cache/download/a/@v/list", &[("gomodcache/cache/download/a/@v/list", 6)]),
            ("h", &[("gomodcache/cache/vcs/h/objects/00/11", 4), ("gomodcache/cache/vcs/h.info", 4)]),
            (
                "i/itoa-1.0.9",
                &[
                    ("cargo/registry/cache/i/itoa-1.0.9.crate", 5),
                    ("cargo/registry/src/i/itoa-1.0.9/l.rs", 5),
                ],
            ),
            ("x-1", &[("cargo/git/db/x-1/HEAD", 4), ("cargo/git/checkouts/x-1/00/.cargo-ok", 4)]),
            ("registry/index/i/.cache/it/oa/itoa", &[("cargo/registry/index/i/.cache/it/oa/itoa", 8)]),
            ("a/b/1", &[("m2repository/a/b/1/b-1.jar", 5), ("m2repository/a/b/1/b-1.pom.sha1", 5)]),
            ("0/f", &[("pip/http-v2/0/f", 4), ("pip/http-v2/0/f.body", 4)]),
            (
                "00/11/22/33",
                &[("pip/wheels/00/11/22/33/x.whl", 6), ("pip/wheels/00/11/22/33/origin.json", 6)],
            ),
            ("0/x", &[("uv/archive-v0/x/a/b.py", 3)]),
            (
                "11/docopt/0.6.2",
                &[
                    ("uv/sdists-v11/pypi/docopt/0.6.2/r/src/a.py", 5),
                    ("uv/sdists-v11/pypi/docopt/0.6.2/revision.http", 5),
                ],
            ),
            ("00", &[("git/00/objects/pack/p.pack", 2), ("git/00/all.refs", 2)]),
            ("sha256:00", &[("sha256:00", 1)]),
            ("stray", &[("git/stray", 2)]),
            ("own", &[("own/a/b", 1), ("own/c", 1)]),
        ] {
            for (path, components) in paths {
                let unit = unit(Path::new(path));
                assert_eq!((unit.name.as_str(), unit.components), (name, *components), "{path}");
            }
        }
    }

    #[test]
    fn unfinished_files_are_known_by_their_names() {
        for (path, unfinished) in [
            (".fetch.A1b2C3", true),
            ("git/00/.new.Xyz", true),
            ("git/00/objects/pack/.new.Xyz", true),
            ("git/00/all.refs", false),
            ("npm/_cacache/tmp/x", true),
            ("npm/_cacache/content-v2/sha512/00/11/22", false),
            ("gomodcache/cache/download/a/@v/v1.zip123.tmp", true),
            ("gomodcache/a@v1/x.tmp", false),
            ("m2repository/a/1/a-1.jar.part", true),
            ("own/x.tmp", false),
        ] {
            assert_eq!(is_unfinished(Path::new(path)), unfinished, "{path}");
        }
    }

    #[test]
    fn compilers_are_not_asked_for_by_default() {
        let names: Vec<&str> = always().map(|ecosystem| ecosystem.name).collect();
        assert_eq!(names, ["go", "uv", "pip", "composer", "npm", "cargo", "maven"]);
        let names: Vec<&str> = on_request().map(|ecosystem| ecosystem.name).collect();
        assert_eq!(
            names,
            [
                "gocache", "ccache", "sccache", "gradle", "yarn", "pnpm", "bundler", "cpan", "r", "nuget",
                "bazel"
            ]
        );
    }

    #[test]
    fn names_that_say_their_content_stay_and_lists_are_renewed() {
        for (path, expected) in [
            ("gomodcache/cache/download/github.com/pkg/errors/@v/v0.9.1.zip", Rule::First),
            ("gomodcache/cache/download/github.com/pkg/errors/@v/list", Rule::Last),
            ("gomodcache", Rule::Last),
            ("cargo/.global-cache", Rule::Last),
            ("cargo/registry/cache/i/itoa-1.0.9.crate", Rule::First),
            ("npm/_cacache/index-v5/00/11", Rule::Last),
            ("m2repository/a/b/1/b-1.jar", Rule::First),
            ("m2repository/a/b/1/_remote.repositories", Rule::Last),
            ("git/00/objects/pack/pack-00.pack", Rule::First),
            ("git/00/all.refs", Rule::Last),
            ("sha256:00", Rule::Last),
            ("anything", Rule::Last),
        ] {
            assert_eq!(conflict_rule(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn names_say_the_content_of_files() {
        // Of nothing at all.
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let sha1 = "da/39/a3ee5e6b4b0d3255bfef95601890afd80709";
        for (path, fits) in [
            (format!("sha256:{sha256}"), Some(true)),
            (format!("sha256:{}", sha256.to_uppercase()), Some(true)),
            (format!("sha256:{}", sha256.replace('e', "f")), Some(false)),
            ("sha256:".into(), Some(false)),
            ("sha512:00".into(), Some(false)),
            (format!("npm/_cacache/content-v2/sha1/{sha1}"), Some(true)),
            (format!("npm/_cacache/content-v2/sha256/{sha1}"), Some(false)),
            (format!("npm/_cacache/content-v2/md5/{sha1}"), None),
            (format!("own/sha256:{sha256}"), None),
        ] {
            let is = match expected(path.as_bytes()) {
                Expected::Anything => None,
                Expected::Digest(digest) => Some(digest.fits(&b""[..]).expect("read")),
                Expected::NoFile => panic!("{path}"),
            };
            assert_eq!(is, fits, "{path}");
        }
        assert_eq!(expected(b"sha256:00/x"), Expected::NoFile);
        assert!(fetch::is_source_name(b"sha512:00") && !fetch::is_source_name(b"own/sha512:00"));
    }

    #[test]
    fn directories_that_persist_come_from_the_innermost_outwards() {
        assert!(persistent_directories().eq(["cargo/registry", "cargo/git", "cargo"]));
    }
}
