//! The script of `git-checkout` against a real repository: the results for a tag, a branch and an expected commit, for every depth,
//! with and without the cache, and in a sparse checkout.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::skip::skip;

/// `main` has the commits 1 to 8. The tags `v1` and `a1` (annotated) are at 5; a branch `v1` leads from 2 to x, a branch
/// `other` from 6 to o, and there is a tag `main` at 3.
const ORIGIN: &str = r#"
git init --quiet --initial-branch=main origin; cd origin
git config uploadpack.allowFilter true; git config uploadpack.allowAnySHA1InWant true
mkdir -p a b; echo b >b/b
commit() { echo $1 >a/f; echo $1 >f; git add .; git commit --quiet -m $1; git update-ref refs/marks/$1 HEAD; }
for n in 1 2 3 4 5 6 7 8; do commit $n; done
git checkout --quiet -b lead refs/marks/2; commit x; git branch v1
git checkout --quiet -b other refs/marks/6; commit o
git checkout --quiet main; git branch --quiet -D lead
git tag v1 refs/marks/5; git tag main refs/marks/3; git tag -a -m annotated a1 refs/marks/5
for mark in 1 2 3 4 5 6 7 8 x o; do echo "$mark $(git rev-parse refs/marks/$mark)"; git update-ref -d refs/marks/$mark; done
echo "a1 $(git rev-parse a1)"
"#;

/// The inputs, and the result: the content of a file, or the end of an error.
type Case = (&'static str, &'static str, &'static str, Result<&'static str, &'static str>);

const CASES: [Case; 19] = [
    ("tag", "v1", "", Ok("5")),
    ("tag", "v1", "5", Ok("5")),
    ("tag", "v1", "x", Err("for tag v1, found")),
    ("tag", "v1", "4", Err("for tag v1, found")),
    ("tag", "main", "", Ok("3")),
    ("tag", "main", "8", Err("for tag main, found")),
    ("tag", "a1", "5", Ok("5")),
    ("tag", "a1", "a1", Ok("5")),
    ("tag", "other", "", Err("cannot clone")),
    ("branch", "v1", "", Ok("x")),
    ("branch", "v1", "x", Ok("x")),
    ("branch", "v1", "1", Ok("1")),
    ("branch", "v1", "5", Err("is not on v1, whose tip is")),
    ("branch", "main", "8", Ok("8")),
    ("branch", "main", "1", Ok("1")),
    ("branch", "main", "o", Err("is not on main, whose tip is")),
    ("branch", "a1", "", Err("cannot clone")),
    ("", "", "8", Ok("8")),
    ("", "", "o", Err("found")),
];

struct Checkout {
    directory: PathBuf,
    script: String,
    inputs: BTreeMap<String, String>,
    commits: BTreeMap<String, String>,
}

impl Checkout {
    fn new(directory: &Path) -> Self {
        let made = bash(directory, ORIGIN).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = String::from_utf8(made.stdout).unwrap();
        let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let commits = text.lines().filter_map(pair).collect();
        let file = directory.join("file.yaml");
        let uses = "pipeline:\n- uses: git-checkout\n  with: {repository: x, max-retries: 0}\n";
        fs::write(&file, format!("package: {{name: one, version: 1, epoch: 0}}\n{uses}")).unwrap();
        let compiled =
            Command::new(env!("CARGO_BIN_EXE_kiln")).arg("compile").arg(&file).output().unwrap().stdout;
        let compiled: serde_json::Value = serde_json::from_slice(&compiled).unwrap();
        let step = &compiled["pipeline"][0]["pipeline"][0];
        Self {
            directory: directory.to_owned(),
            script: format!("set -eo pipefail\n{}", step["runs"].as_str().unwrap()),
            inputs: serde_json::from_value(step["environment"].clone()).unwrap(),
            commits,
        }
    }

    /// Checks out into `tree`, with this cache or none.
    fn run(&self, case: Case, depth: &str, sparse: bool, cache: Option<&Path>, tree: &Path) -> Output {
        let (kind, name, commit, _) = case;
        let mut command = bash(tree.parent().unwrap(), &self.script);
        command.envs(&self.inputs);
        command.env("input_repository", format!("file://{}/origin", self.directory.display()));
        command.env("input_destination", tree).env("input_depth", depth);
        command.env("kiln_cache", cache.unwrap_or(Path::new("/nonexistent")));
        command.env("input_sparse_paths", if sparse { "a" } else { "" });
        if !kind.is_empty() {
            command.env(format!("input_{kind}"), name);
        }
        command.env("input_expected_commit", self.commits.get(commit).map_or("", String::as_str));
        command.output().unwrap()
    }

    /// Runs a case, and checks its result.
    fn check(&self, case: Case, depth: &str, sparse: bool, cache: Option<&Path>) {
        let tree = tempfile::tempdir().unwrap();
        let tree = tree.path().join("tree");
        let output = self.run(case, depth, sparse, cache, &tree);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let what = format!("{case:?}, depth {depth}, sparse {sparse}, cache {cache:?}\n{said}");
        match case.3 {
            Ok(content) => {
                assert!(output.status.success(), "{what}");
                assert_eq!(fs::read_to_string(tree.join("a/f")).unwrap().trim(), content, "{what}");
                assert_eq!(tree.join("b").exists(), !sparse, "{what}");
                let head =
                    bash(&tree, "git symbolic-ref -q HEAD || echo refs/heads/detached").output().unwrap();
                let head = String::from_utf8(head.stdout).unwrap();
                let expected = match case.0 {
                    "tag" => "detached",
                    "branch" => case.1,
                    _ => "main",
                };
                assert_eq!(head.trim(), format!("refs/heads/{expected}"), "{what}");
            }
            Err(why) => {
                assert!(!output.status.success(), "{what}");
                let fail = said.lines().find(|line| line.contains("FAIL")).unwrap_or_default();
                assert!(fail.contains(why), "{what}");
            }
        }
    }
}

/// As a step runs: nothing of the user's settings.
fn bash(directory: &Path, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-ec", script]).current_dir(directory).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", directory).env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "A").env(format!("GIT_{who}_EMAIL"), "a@example.org");
    }
    command
}

#[test]
fn tags_are_tags_branches_are_branches_and_commits_lie_on_them() {
    if Command::new("git").arg("--version").output().is_err() {
        return skip("git is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let checkout = Checkout::new(directory.path());
    let checkout = &checkout;
    // Most of the time git waits for its children.
    std::thread::scope(|scope| {
        for cases in CASES.chunks(CASES.len().div_ceil(4)) {
            scope.spawn(move || cases.iter().for_each(|&case| everywhere(checkout, case)));
        }
    });
}

fn everywhere(checkout: &Checkout, case: Case) {
    let depths: &[&str] = match case {
        ("branch", _, "", _) => &["1", "-1"],
        ("branch", ..) => &["unset", "1", "3"],
        _ => &["unset", "-1"],
    };
    for (at, depth) in depths.iter().enumerate() {
        checkout.check(case, depth, false, None);
        if at == 0 {
            checkout.check(case, depth, true, None);
        }
        let cache = tempfile::tempdir().unwrap();
        // Twice: what fills the cache, and what is served by it.
        checkout.check(case, depth, false, Some(cache.path()));
        checkout.check(case, depth, false, Some(cache.path()));
    }
}

#[test]
fn what_lies_deeper_than_asked_for_is_served_by_the_cache_the_next_time() {
    if Command::new("git").arg("--version").output().is_err() {
        return skip("git is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let checkout = Checkout::new(directory.path());
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let case = ("branch", "main", "1", Ok("1"));
    for depth in ["1", "3", "unset"] {
        checkout.check(case, depth, false, Some(&cache));
        // Once it is there, the server is not needed.
        fs::rename(directory.path().join("origin"), directory.path().join("away")).unwrap();
        checkout.check(case, depth, false, Some(&cache));
        fs::rename(directory.path().join("away"), directory.path().join("origin")).unwrap();
    }
}
