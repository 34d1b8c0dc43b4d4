//! Whole roots of the repositories in `tests/apk/repositories`, compared with what apko has made of them.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::json;

use super::{
    compose::{Composed, compose},
    fetch,
    network::{Logins, Network},
    progress::Progress,
    resolve::{ApkRequest, resolve},
};
use crate::{
    env::Env,
    event::Event,
    exit::{Code, Failure},
    image::erofs::{Content, Kind, NodeId, Tree},
    plan::ApkRoot,
};

/// Entries that kiln's roots do not have, each with the reason.
const LEFT_OUT: [(&str, &str); 6] = [
    ("dev/console", "every backend has a /dev of its own, and an ordinary user cannot unpack device files"),
    ("dev/null", "as above"),
    ("dev/random", "as above"),
    ("dev/urandom", "as above"),
    ("dev/zero", "as above"),
    ("etc/apko.json", "no program of a guest reads it, and it has paths of the host in it"),
];
/// Entries that only kiln's roots have: its agent mounts over them.
const ADDED: [&str; 2] = ["5 0755 0:0 run", "5 0755 0:0 sys"];

#[derive(Deserialize)]
struct Case {
    config: String,
    packages: Vec<String>,
    exit_status: i32,
    tree: Vec<String>,
    files: BTreeMap<String, String>,
    scripts_tar: Vec<Script>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Script {
    path: String,
    mode: String,
    size: u64,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk").join(name)
}

fn case(name: &str) -> Case {
    let text = fs::read_to_string(data("installed").join(format!("{name}.json"))).expect("a case");
    serde_json::from_str(&text).expect("a case")
}

/// The items of a list in a case's configuration.
fn list(config: &str, key: &str) -> Vec<String> {
    let after = config.lines().skip_while(|line| line.trim() != format!("{key}:")).skip(1);
    let items = after.map_while(|line| line.trim().strip_prefix("- "));
    items.map(|item| item.trim_matches('\'').to_owned()).collect()
}

fn request(name: &str, case: &Case) -> ApkRequest {
    let repositories = list(&case.config, "repositories").into_iter();
    let repositories = repositories.map(|line| {
        let below = line.strip_prefix("./repos").expect("all are directories");
        format!("{}{below}", data("repositories").display())
    });
    ApkRequest {
        repositories: repositories.collect(),
        keyring: vec![data("repositories/testix.rsa.pub").display().to_string()],
        packages: list(&case.config, "packages"),
        arch: "x86_64".into(),
        ignore_signatures: name == "sig-none-ignored",
        ..ApkRequest::default()
    }
}

fn progress() -> (Progress, tokio::sync::mpsc::UnboundedReceiver<Event>) {
    let (sender, told) = tokio::sync::mpsc::unbounded_channel();
    (Progress::new(sender), told)
}

fn composed(
    request: &ApkRequest,
    shown: Option<&[String]>,
    cache: &Path,
) -> Result<(ApkRoot, Composed), Failure> {
    let (progress, _told) = progress();
    let network = Network::of(&Env::default(), &Logins::default(), false)?;
    let mut root = resolve(request, &network, cache, &progress)?;
    let packages = fetch::packages(&root, "x86_64", &network, cache, &progress)?;
    if let Some(shown) = shown {
        root.repositories = shown.to_vec();
    }
    let composed = compose(&root, "x86_64", packages)?;
    Ok((root, composed))
}

/// The tree as the cases have it.
fn lines(composed: &Composed) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Vec<(String, NodeId)> = vec![(String::new(), Tree::ROOT)];
    while let Some((path, id)) = open.pop() {
        let node = &composed.tree.nodes[id];
        let head = |kind: u8| format!("{kind} {:04o} {}:{} {path}", node.mode, node.uid, node.gid);
        let xattrs: BTreeMap<String, String> = node
            .xattrs
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.into_owned()))
            .collect();
        let mut line = match &node.kind {
            Kind::Directory(entries) => {
                let below = |name: &[u8]| format!("{path}/{}", String::from_utf8_lossy(name));
                open.extend(entries.iter().map(|(name, id)| (below(name).trim_matches('/').to_owned(), *id)));
                head(5)
            }
            Kind::File(content) => format!("{} {}", head(0), content.size()),
            Kind::Symlink(target) => format!("{} -> {}", head(2), String::from_utf8_lossy(target)),
        };
        if !xattrs.is_empty() {
            line += &format!(" {}", json!(xattrs)).replace("\":\"", "\": \"");
        }
        if !path.is_empty() {
            lines.push(line);
        }
    }
    lines
}

fn content(composed: &Composed, path: &str) -> Vec<u8> {
    let mut node = Tree::ROOT;
    for part in path.split('/') {
        node = composed.tree.entries(node).expect("a directory")[part.as_bytes()];
    }
    match &composed.tree.nodes[node].kind {
        Kind::File(Content::Bytes(bytes)) => bytes.clone(),
        Kind::File(Content::Extent { source, offset, size }) => {
            let mut bytes = vec![0; *size as usize];
            composed.sources[*source].read_exact_at(&mut bytes, *offset).expect("there");
            bytes
        }
        other => panic!("{path} is {other:?}"),
    }
}

fn scripts(tar: &[u8]) -> Vec<Script> {
    let mut archive = tar::Archive::new(tar);
    let mut found = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        found.push(Script {
            path: entry.path().expect("a path").display().to_string(),
            mode: format!("{:04o}", entry.header().mode().expect("a mode")),
            size: content.len() as u64,
        });
    }
    found
}

#[test]
fn roots_are_those_of_apko() {
    let names = fs::read_dir(data("installed")).expect("cases");
    let mut names: Vec<String> = names
        .map(|entry| entry.expect("a case").file_name().to_string_lossy().replace(".json", ""))
        .collect();
    names.sort();
    assert_eq!(names.len(), 16);
    let cache = tempfile::tempdir().expect("a directory");
    for name in names {
        let case = case(&name);
        let shown = list(&case.config, "repositories");
        let made = composed(&request(&name, &case), Some(&shown), cache.path());
        let (root, made) = match made {
            Err(failure) => {
                assert_ne!(case.exit_status, 0, "{name}: {failure}");
                assert_eq!(failure.code, Code::Host, "{name}: {failure}");
                continue;
            }
            Ok(made) => made,
        };
        assert_eq!(case.exit_status, 0, "{name}: apko refuses it");
        let mut found = lines(&made);
        let mut wanted: Vec<String> = case.tree.clone();
        wanted.retain(|line| !LEFT_OUT.iter().any(|(path, _)| line.split(' ').nth(3) == Some(path)));
        wanted.extend(ADDED.map(str::to_owned));
        for line in found.iter_mut().chain(&mut wanted) {
            // apko adds an extension without content to an empty cache.
            if let Some((before, _)) = line.split_once("etc/ld.so.cache ") {
                *line = format!("{before}etc/ld.so.cache");
            }
        }
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{name}");
        for (path, text) in case.files {
            let found = String::from_utf8(content(&made, &path)).expect("UTF-8");
            assert_eq!(found, text, "{name}: {path}");
        }
        assert_eq!(scripts(&content(&made, "usr/lib/apk/db/scripts.tar")), case.scripts_tar, "{name}");
        let chosen: Vec<String> =
            root.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
        let order: Vec<&str> =
            case.packages.iter().map(|line| line.rsplit_once(' ').expect("a URL").0).collect();
        assert!(order.is_empty() || chosen == order, "{name}");
    }
}

#[test]
fn what_was_changed_after_signing_is_refused_with_its_name() {
    let cache = tempfile::tempdir().expect("a directory");
    for (name, part) in [
        ("apk-control-tampered", "its control section is not the one of the index"),
        ("apk-data-tampered", ""),
        ("apk-file-checksum-wrong", "the checksum of its file"),
    ] {
        let failure = composed(&request(name, &case(name)), None, cache.path()).expect_err("refused");
        assert!(failure.what.contains("the package a-1-r0 of /"), "{failure}");
        assert!(failure.what.contains(part), "{failure}");
    }
    let kept = fs::read_dir(cache.path().join("control")).expect("the store").count();
    assert_eq!(kept, 0, "nothing of a refused package is kept");
}

#[test]
fn a_damaged_file_of_the_store_is_made_again() {
    let cache = tempfile::tempdir().expect("a directory");
    let request = request("sig-ok", &case("sig-ok"));
    let (_, first) = composed(&request, None, cache.path()).expect("composed");
    let before = content(&first, "usr/share/a");
    for directory in ["control", "data"] {
        for entry in fs::read_dir(cache.path().join(directory)).expect("the store") {
            let path = entry.expect("an entry").path();
            let mut bytes = fs::read(&path).expect("read");
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            fs::write(&path, bytes).expect("written");
            let (_, again) = composed(&request, None, cache.path()).expect("composed again");
            assert_eq!(content(&again, "usr/share/a"), before, "{}", path.display());
        }
    }
}

#[test]
fn a_package_that_says_to_be_another_one_is_refused() {
    let cache = tempfile::tempdir().expect("a directory");
    let (mut root, _) = composed(&request("sig-ok", &case("sig-ok")), None, cache.path()).expect("composed");
    root.packages[0].version = "2-r0".into();
    let (progress, _told) = progress();
    let network = Network::of(&Env::default(), &Logins::default(), true).expect("valid");
    let failure = fetch::packages(&root, "x86_64", &network, cache.path(), &progress).expect_err("refused");
    assert!(failure.what.starts_with("the package a-2-r0 of /"), "{failure}");
    assert!(failure.what.ends_with("is another one: its .PKGINFO says \"a\" \"1-r0\""), "{failure}");
}

#[test]
fn there_are_not_too_many_keys() {
    let keyring = (0..65).map(|at| format!("k{at}.rsa.pub")).collect();
    let request = ApkRequest { keyring, arch: "x86_64".into(), ..ApkRequest::default() };
    let cache = tempfile::tempdir().expect("a directory");
    let failure = composed(&request, None, cache.path()).expect_err("refused");
    assert!(failure.what.contains("65 keys, and at most 64"), "{failure}");
}
