//! The changes of a build to its cache, and the report on them.

use std::{fs, path::Path};

use super::{build, build_saying, has_bwrap, project, said, scratch};

/// Below the cache, sorted; directories end with a slash.
fn all(cache: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![cache.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("listed") {
            let path = entry.expect("listed").path();
            let name = path.strip_prefix(cache).expect("below").display().to_string();
            found.push(if path.is_dir() { name + "/" } else { name });
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn directories_of_cargo_are_there_only_once_cargo_has_put_something_there() {
    if !has_bwrap() {
        return;
    }
    for mode in ["rw", "commit"] {
        let (_directory, project) = project();
        let cache = project.join("cache");
        let run = |step: &str| {
            let output = build(&project, "build", &[step], &["--cache-mode", mode]);
            assert!(output.status.success(), "{mode}: {}", said(&output));
        };
        run("ls \"$CARGO_HOME/registry\" \"$CARGO_HOME/git\"");
        assert_eq!(all(&cache), Vec::<String>::new(), "{mode}");
        run("mkdir \"$CARGO_HOME/registry/cache\"; touch \"$CARGO_HOME/registry/cache/crate\"");
        let left = ["cargo/", "cargo/registry/", "cargo/registry/cache/", "cargo/registry/cache/crate"];
        assert_eq!(all(&cache), left, "{mode}");
    }
}

#[test]
fn who_moves_cargos_home_within_the_cache_is_told_what_that_means() {
    if !has_bwrap() {
        return;
    }
    let (directory, project) = project();
    let variables = directory.path().join("variables");
    fs::write(&variables, "CARGO_HOME=/var/cache/melange/mine/\n").expect("written");
    let variables = variables.to_str().expect("UTF-8");
    let write = "mkdir -p \"$CARGO_HOME\"; touch \"$CARGO_HOME/config.toml\"";
    for (arguments, told, kept) in
        [(&[][..], false, "cargo/config.toml"), (&["--env-file", variables], true, "mine/config.toml")]
    {
        let output = build(&project, "root", &[write], arguments);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(
            said(&output).contains("CARGO_HOME=/var/cache/melange/mine/: "),
            told,
            "{}",
            said(&output)
        );
        assert_eq!(project.join("cache").join(kept).exists(), told);
    }
}

/// An entry of npm, an index that every build writes again, and what no commit would keep.
const WRITE: &str = "cd /var/cache/melange
mkdir -p npm/_logs npm/_npx npm/_cacache/content-v2 npm/_cacache/index-v5 m2repository/a/1
echo 1234 > npm/_cacache/content-v2/entry
for junk in npm/_logs/log npm/_npx/program npm/_cacache/index-v5/line m2repository/a/1/a.jar.lastUpdated
do echo $$ > $junk; done";

fn report_of(output: &std::process::Output) -> serde_json::Value {
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let events = lines.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    events.into_iter().find(|event: &serde_json::Value| event["event"] == "cache").expect("a report")
}

#[test]
fn what_no_commit_would_keep_is_not_called_new() {
    if !has_bwrap() {
        return;
    }
    let amount = |entries: u64, bytes: u64| serde_json::json!({ "entries": entries, "bytes": bytes });
    for mode in ["rw", "commit"] {
        let (_directory, project) = project();
        let output = build_saying("json", &project, "root", &[WRITE], &["--cache-mode", mode]);
        assert!(output.status.success(), "{mode}: {}", said(&output));
        let report = report_of(&output);
        let new = |name: &str| {
            let rows = report["directories"].as_array().expect("directories").iter();
            rows.filter(|row| row["name"] == name).map(|row| row["new"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(new("npm"), [amount(1, 5)], "{mode}: {report}");
        // A cache grows by new files and by others: the next build finds both.
        let again = build_saying("json", &project, "root", &["true"], &["--cache-mode", mode]);
        let sum = |output: &std::process::Output, what: &[&str]| {
            let report = report_of(output);
            let rows = report["directories"].as_array().expect("directories").clone();
            let amounts =
                rows.iter().flat_map(|row| what.iter().map(move |what| row[*what]["bytes"].clone()));
            amounts.filter_map(|bytes| bytes.as_u64()).sum::<u64>()
        };
        let grown = sum(&output, &["before", "new", "besides"]);
        assert_eq!(sum(&again, &["before"]) == grown, mode == "rw", "{mode}: {report}");
        assert_eq!(sum(&output, &["besides"]) > 0, mode == "rw", "{mode}: {report}");
        assert!(new("m2repository").iter().all(|new| *new == amount(0, 0)), "{mode}: {report}");
        // It is there for builds that run at the same time; a commit leaves it out.
        assert_eq!(project.join("cache/npm/_logs/log").exists(), mode == "rw");
    }
}

#[test]
fn a_cache_that_is_named_is_there_in_a_command_and_only_one_that_is_not_may_be_missing() {
    if !has_bwrap() {
        return;
    }
    let write = "echo x > /var/cache/melange/file";
    for (named, made_before, expected) in [
        (Some("./melange-cache/"), false, true),
        (Some("./melange-cache/"), true, true),
        (Some("melange-cache"), false, true),
        (Some("other"), false, true),
        (None, false, false),
        (None, true, true),
        (Some(""), true, false),
    ] {
        let (_directory, project) = project();
        let directory = project.join(named.filter(|named| !named.is_empty()).unwrap_or("melange-cache"));
        if made_before {
            fs::create_dir(&directory).expect("made");
        }
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.current_dir(&project).env("QEMU_DISKS_PATH", scratch(&project));
        command.args(["run", "--runner", "bubblewrap"]);
        command.args(named.iter().flat_map(|named| ["--cache-dir", named])).args(["--", "sh", "-c", write]);
        let output = command.stdin(std::process::Stdio::null()).output().expect("kiln can be started");
        assert_eq!(output.status.success(), expected, "{named:?}: {}", said(&output));
        assert_eq!(directory.join("file").exists(), expected, "{named:?} {made_before}");
    }
}
