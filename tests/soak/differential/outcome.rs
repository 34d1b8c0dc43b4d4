//! The outcome of one build: everything that must be the same in all backends.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use data_encoding::BASE64;
use serde_json::Value;

use super::{
    backend::{self, Backend},
    case::Case,
    tree,
};

/// The root of every case: Debian with the tools that the cases use.
const IMAGE: &str = "debian:bookworm+attr,libcap2-bin";
/// So many differing lines are shown of each part.
const SHOWN: usize = 12;

/// The outcome of a build.
pub(crate) struct Outcome {
    /// kiln's exit code.
    pub(crate) exit: Option<i32>,
    /// The output of kiln on stderr, to find out what went wrong.
    pub(crate) log: String,
    /// The parts that are compared, by name, as lines.
    parts: BTreeMap<String, Vec<String>>,
}

/// Builds a case.
pub(crate) fn of(case: &Case, backend: Backend) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("file.yaml"), &case.text).unwrap();
    make_source(&path.join("source"));
    make_cache(&path.join("cache"));
    let mut command = backend::kiln(path, &case.under);
    command.args(["build", "--progress", "json", "--image", IMAGE, "--cache-dir", "cache"]);
    backend.choose(&mut command);
    if case.has_source {
        command.args(["--source-dir", "source"]);
    }
    if !case.args.iter().any(|argument| argument == "--cache-mode") {
        command.args(["--cache-mode", "discard"]);
    }
    let output = command.args(&case.args).arg("file.yaml").output().unwrap();
    let mut parts = events(&output.stdout);
    parts.insert("the source afterwards".into(), tree::of_directory(&path.join("source")));
    parts.insert("the cache afterwards".into(), tree::of_directory(&path.join("cache")));
    for (name, lines) in tree::of_packages(&path.join("packages/x86_64")) {
        parts.insert(name, lines);
    }
    let mut left: Vec<String> =
        fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    left.sort();
    parts.insert("the directory afterwards".into(), left);
    let log = format!("{}{}", String::from_utf8_lossy(&output.stderr), last_event(&output.stdout));
    Outcome { exit: output.status.code(), log, parts }
}

fn make_source(source: &Path) {
    fs::create_dir_all(source.join("tree/deeper")).unwrap();
    fs::create_dir(source.join("empty")).unwrap();
    fs::create_dir(source.join("ignored")).unwrap();
    for (name, text, mode) in [
        ("input", "from the host\n", 0o644),
        ("script", "#!/bin/sh\necho the script runs\n", 0o755),
        ("read-only", "read only\n", 0o444),
        ("tree/leaf", "leaf\n", 0o644),
        ("tree/deeper/ünïcödé name", "deep\n", 0o600),
        ("ignored/file", "not to be seen\n", 0o644),
        (".melangeignore", "ignored\n", 0o644),
    ] {
        fs::write(source.join(name), text).unwrap();
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("input", source.join("link")).unwrap();
    symlink("nowhere", source.join("dangling")).unwrap();
}

fn make_cache(cache: &Path) {
    let seed = cache.join("seed");
    fs::create_dir_all(&seed).unwrap();
    for name in ["file", "gone", "moved"] {
        fs::write(seed.join(name), format!("{name} of an earlier build\n")).unwrap();
    }
    symlink("file", seed.join("link")).unwrap();
}

/// The steps' events in order, and what each wrote to each stream.
fn events(stdout: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut order = Vec::new();
    let mut streams: BTreeMap<String, String> = BTreeMap::new();
    for event in objects(stdout) {
        let step = || format!("{} {}", event["step"]["index"], event["step"]["name"]);
        match event["event"].as_str().unwrap() {
            "step_started" => order.push(format!("started {}", step())),
            "step_finished" => order.push(format!("finished {} {}", step(), event["status"])),
            "output" => {
                let stream = format!("{} of step {}", event["stream"].as_str().unwrap(), step());
                // Where a stream is cut differs from run to run: pieces are put together again.
                let all = streams.entry(stream).or_default();
                match event["text"].as_str() {
                    Some(text) => text.bytes().for_each(|byte| push(all, byte)),
                    None => {
                        let bytes = BASE64.decode(event["base64"].as_str().unwrap().as_bytes()).unwrap();
                        bytes.into_iter().for_each(|byte| push(all, byte));
                    }
                }
            }
            _ => {}
        }
    }
    let mut parts: BTreeMap<String, Vec<String>> = streams
        .into_iter()
        .map(|(name, all)| (name, all.split_inclusive("\\n").map(str::to_owned).collect()))
        .collect();
    parts.insert("the order of steps".into(), order);
    parts
}

fn push(text: &mut String, byte: u8) {
    write!(text, "{}", std::ascii::escape_default(byte)).unwrap();
}

fn objects(stdout: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The error of the last event.
fn last_event(stdout: &[u8]) -> String {
    objects(stdout).last().map_or(String::new(), |event| event["error"].to_string())
}

impl Outcome {
    /// The differences of `other`, as text; empty where both are the same.
    pub(crate) fn differences(&self, other: &Self) -> String {
        let nothing = Vec::new();
        let mut text = String::new();
        let names: std::collections::BTreeSet<&String> =
            self.parts.keys().chain(other.parts.keys()).collect();
        for name in names {
            let one = self.parts.get(name).unwrap_or(&nothing);
            let two = other.parts.get(name).unwrap_or(&nothing);
            if one != two {
                writeln!(text, "  {name}: {} and {} lines", one.len(), two.len()).unwrap();
                let only = |these: &[String], those: &[String], sign: char| {
                    let lines = these.iter().filter(|line| !those.contains(line)).take(SHOWN);
                    lines.fold(String::new(), |all, line| {
                        all + &format!("    {sign} {}\n", line.chars().take(200).collect::<String>())
                    })
                };
                text += &only(one, two, '-');
                text += &only(two, one, '+');
            }
        }
        text
    }
}
