//! The cases in `tests/apk/` as facts: the entries of each package, and what melange's .PKGINFO and log say.

use std::{
    collections::HashMap,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::package::{
    dependencies::{Declared, Options},
    facts::{FileFacts, Kind, PackageFacts, examine},
    lint::{Finding, Settings, Tests, lint},
};

/// Contents that build files make, and that dependencies or findings come from.
const MADE: [&[u8]; 34] = [
    b"",
    b"x\n",
    b"#!/bin/sh\n",
    b"#!/bin/bash -e\n",
    b"#!/usr/bin/env perl\n",
    b"#!/usr/bin/env -S ruby -w\n",
    b"#!/usr/bin/env\n",
    b"#!/usr/bin/env node --x\n",
    b"#!/usr/bin/env -S -i node\n",
    b"#!/usr/bin/python3\n",
    b"#!/usr/bin/python3.12\n",
    b"#!  /usr/bin/lua5.4   -x\n",
    b"#!\n",
    b"#!   \n",
    b"#!/usr/bin/awk -f\n",
    b"#!/usr/bin/guile\n",
    b"#!/usr/bin/tclsh\n",
    b"#!/usr/bin/fish\n",
    b"#!/bin/dash\n",
    b"#!",
    b"#!/usr/bin/zsh",
    b"#!/usr/bin/00000000000000000000000000000000000000000000000000000000000000000000000000000005",
    b"#!/usr/bin/expect\r\n",
    b"#!/usr/bin/luajit\n",
    b"#!/usr/bin/perl\n",
    b"garbage without colon\n",
    b"Name: x\n",
    b"# comment\n\n/usr/lib/app\nrelative/dir\n",
    b"/usr/lib/ignored\n",
    b"ELFish\0license=GPL\0vermagic=6.1.0-test SMP mod_unload \0x",
    b"junk Linux version 6.1.0-test (me@host) (gcc) #1 SMP\0",
    b"\x1f\x8b\x08\0\0\0\0\0\0\x03s\xf5q\xcb,\xce`(K-\xcaMML\xcfL\xb65\xd33\xd43\xd0-I-.Q\x08\xf6\rP\xc8\xcdO\x89/\xcd\xcb\xc9OLQ`\xa8\0\0\xbc\x92\x04\r,\0\0\0",
    b"fun",
    b"one\n",
];

/// A case and what melange made of it.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) document: Value,
    /// All packages that were made, the main one first.
    pub(super) packages: Vec<Made>,
}

/// One package.
pub(super) struct Made {
    pub(super) facts: PackageFacts,
    /// `key = value`, or a comment.
    pub(super) pkginfo: Vec<String>,
    /// Of `.melange.yaml`.
    pub(super) declared: Declared,
    pub(super) disabled: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Contents by their digests.
fn contents() -> HashMap<String, Vec<u8>> {
    let mut contents: Vec<Vec<u8>> = MADE.iter().map(|content| content.to_vec()).collect();
    let mut directories: Vec<PathBuf> = vec![root().join("cases")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("the cases are there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                contents.push(fs::read(&path).expect("it can be read"));
            }
        }
    }
    contents.into_iter().map(|content| (HEXLOWER.encode(&Sha256::digest(&content)), content)).collect()
}

pub(super) fn cases() -> Vec<Case> {
    let contents = contents();
    let files = fs::read_dir(root().join("expected")).expect("the results are there");
    let mut paths: Vec<PathBuf> = files.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    paths.iter().map(|path| case(path, &contents)).collect()
}

fn case(path: &Path, contents: &HashMap<String, Vec<u8>>) -> Case {
    let document: Value = serde_json::from_str(&text(path)).expect("it is JSON");
    let name = document["case"].as_str().expect("it has a name").to_owned();
    let made = document["packages"].as_object().into_iter().flatten();
    let mut packages: Vec<Made> = made.map(|(_, package)| package_of(package, contents)).collect();
    let order = text(&root().join(format!("cases/{name}/{name}.yaml")));
    packages.sort_by_key(|made| order.find(&format!("name: {}\n", made.facts.name)));
    Case { name, document, packages }
}

fn package_of(package: &Value, contents: &HashMap<String, Vec<u8>>) -> Made {
    let lines = package["pkginfo"].as_array().expect("it has lines").iter();
    let pkginfo: Vec<String> = lines
        .map(|line| {
            line.as_array().expect("it is a list").iter().map(|part| part.as_str().expect("it is text"))
        })
        .map(|parts| parts.collect::<Vec<_>>().join(" = "))
        .collect();
    let name = value_of(&pkginfo, "pkgname");
    let mut facts = PackageFacts::new(name);
    for entry in entries(package, "data") {
        let path = entry["path"].as_str().expect("it has a path");
        // The SBOM comes after linters.
        if !path.starts_with("var/lib/db/sbom/") || !path.ends_with(".spdx.json") {
            facts.push(file(path, entry, contents)).expect("it is small");
        }
    }
    let control = entries(package, "control").find(|entry| entry["path"] == ".melange.yaml");
    let yaml = control.and_then(|entry| entry["text"].as_str()).expect("it has a build file");
    let block = block_of(yaml, name);
    let list = |section: &str, key: &str| list_of(&block, section, key);
    let has = |option: &str| block.iter().any(|line| line.trim() == format!("{option}: true"));
    let options = Options {
        no_commands: has("no-commands"),
        no_depends: has("no-depends"),
        no_provides: has("no-provides"),
        no_versioned_shlib_deps: has("no-versioned-shlib-deps"),
    };
    let declared = Declared {
        runtime: list("dependencies", "runtime"),
        provides: list("dependencies", "provides"),
        options,
    };
    Made { facts, pkginfo, declared, disabled: list("checks", "disabled") }
}

fn entries<'v>(package: &'v Value, kind: &str) -> impl Iterator<Item = &'v Value> {
    let sections = package["sections"].as_array().expect("it has sections");
    let section = sections.iter().find(|section| section["kind"] == kind).expect("it has the section");
    section["entries"].as_array().expect("it has entries").iter()
}

fn file(path: &str, entry: &Value, contents: &HashMap<String, Vec<u8>>) -> FileFacts {
    let digest = entry["pax"]["records"]["APK-TOOLS.checksum.SHA1"].as_str();
    let sha1 = digest.map(|digest| {
        let bytes = HEXLOWER.decode(digest.as_bytes()).expect("it is a digest");
        bytes.try_into().expect("it has 20 bytes")
    });
    let (kind, content) = match entry["type"].as_str().expect("it has a type") {
        "5" => (Kind::Directory, None),
        "2" => {
            let target = entry["linkname"].as_str().expect("it has a target");
            (Kind::Symlink { target: target.as_bytes().into() }, None)
        }
        "6" => (Kind::Fifo, None),
        _ => (Kind::Regular { sha1 }, contents.get(entry["sha256"].as_str().expect("it has a digest"))),
    };
    let is_looked_at = path.starts_with("usr/bin/") || path.ends_with(".pc") || path.ends_with(".conf");
    let is_regular = matches!(kind, Kind::Regular { .. });
    assert!(
        content.is_some() || !is_looked_at || !is_regular || path == "usr/bin/t",
        "the content of {path}"
    );
    let special = content.and_then(|content| {
        let found = examine(path.as_bytes(), &mut Cursor::new(content), content.len() as u64);
        found.expect("memory can be read").map(Arc::from)
    });
    let mode = u32::from_str_radix(entry["mode"].as_str().expect("it has a mode"), 8).expect("it is octal");
    let size = entry["size"].as_u64().expect("it has a size");
    FileFacts { path: path.as_bytes().into(), kind, mode, size, special }
}

/// The lines of `.melange.yaml` about one package.
fn block_of<'y>(yaml: &'y str, name: &str) -> Vec<&'y str> {
    let subpackage = format!("  - name: {name}");
    let is_start = |line: &&str| *line == subpackage;
    let has_block = yaml.lines().any(|line| is_start(&line));
    let mut lines =
        yaml.lines().skip_while(|line| if has_block { !is_start(line) } else { *line != "package:" });
    let first = lines.next();
    let rest = lines.take_while(|line| line.starts_with("  ") && !line.starts_with("  - name: "));
    first.into_iter().chain(rest).collect()
}

/// The items of `section: key:`.
fn list_of(block: &[&str], section: &str, key: &str) -> Vec<String> {
    let items = after(&after(block, section), key);
    let items = items.iter().filter_map(|line| line.trim().strip_prefix("- "));
    items.map(|item| item.trim_matches('\'').to_owned()).collect()
}

/// The lines below `name:`.
fn after<'y>(lines: &[&'y str], name: &str) -> Vec<&'y str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let Some(start) = lines.iter().position(|line| line.trim() == format!("{name}:")) else {
        return Vec::new();
    };
    let depth = indent(lines[start]);
    lines[start + 1..].iter().take_while(|line| indent(line) > depth).copied().collect()
}

pub(super) fn value_of<'l>(pkginfo: &'l [String], key: &str) -> &'l str {
    values(pkginfo, key).next().unwrap_or_else(|| panic!("there is no {key}"))
}

pub(super) fn values<'l>(pkginfo: &'l [String], key: &str) -> impl Iterator<Item = &'l str> {
    pkginfo.iter().filter_map(move |line| line.strip_prefix(key)?.strip_prefix(" = "))
}

impl Case {
    pub(super) fn facts(&self) -> Vec<PackageFacts> {
        self.packages.iter().map(|made| made.facts.clone()).collect()
    }

    /// The values of a flag of the command.
    fn flag(&self, flag: &str) -> Option<Vec<String>> {
        let command = self.document["command"].as_str().expect("it has a command");
        let mut words = command.split(' ').skip_while(|word| *word != flag);
        words.nth(1).map(|names| names.split(',').map(str::to_owned).collect())
    }

    pub(super) fn findings(&self, made: &Made) -> Vec<Finding> {
        let settings =
            Settings::new(self.flag("--lint-require").as_deref(), self.flag("--lint-warn").as_deref());
        let settings = settings.expect("the linters are known");
        let (settings, unknown) = settings.without(&made.disabled);
        assert_eq!(unknown, [], "{}", self.name);
        lint(&made.facts, Tests { is_known: true, ..Tests::default() }, &settings)
    }

    /// What melange's log says about a package's linters, by linter.
    pub(super) fn logged(&self, package: &str) -> Vec<Vec<String>> {
        let log = self.document["log"].as_array().expect("it has a log");
        let lines = log.iter().map(|line| line.as_str().expect("it is text"));
        let mut lines = lines.skip_while(|line| *line != format!("INFO linting apk: {package}")).skip(1);
        let mut findings: Vec<Vec<String>> = Vec::new();
        while let Some(line) = lines.next().and_then(|line| line.strip_prefix("WARN ")) {
            if line.starts_with('[') {
                findings.push(Vec::new());
            }
            findings.last_mut().expect("a finding starts with its linter").push(line.to_owned());
        }
        findings
    }
}
