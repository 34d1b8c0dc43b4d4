//! No text of a build file becomes an option, a path or another word of a program that the host runs.
//!
//! Each value of a table goes to each input. The programs are the real ones, behind a script that records each call.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{git_server, skip::skip};

/// Values that a program could misread. `PWNED` stands for a file that must not be made.
const HOSTILE: [&str; 9] = [
    "-x",
    "--x=y",
    "--upload-pack=touch PWNED",
    "-oProxyCommand=touch PWNED",
    "ext::sh -c touch% PWNED",
    "ssh://-oProxyCommand=touch PWNED/x",
    "a\n--output=PWNED\n",
    "a\0-x",
    "a[$(touch PWNED)]`touch PWNED`",
];
/// The programs that `kiln update-cache` runs, and one that git runs.
const PROGRAMS: [&str; 3] = ["git", "curl", "ssh"];
const INPUTS_OF_FETCH: [&str; 3] = ["uri", "expected-sha256", "expected-sha512"];
const INPUTS_OF_CHECKOUT: [&str; 17] = [
    "repository",
    "destination",
    "depth",
    "branch",
    "tag",
    "expected-commit",
    "expected-commit-is-branch-tip",
    "recurse-submodules",
    "shallow-submodules",
    "submodule-jobs",
    "cherry-picks",
    "type-hint",
    "sparse-paths",
    "max-retries",
    "initial-backoff",
    "max-backoff",
    "reason",
];

/// A place with the programs' scripts, and what they note.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in PROGRAMS {
            let real = match program {
                "ssh" => "/bin/false".into(),
                program => which(program),
            };
            let called = directory.path().join("called");
            let text = format!(
                "#!/bin/sh\nprintf '%s\\0' {program} \"$@\" >>'{}'\nexec {} \"$@\"\n",
                called.display(),
                real.display()
            );
            fs::write(bin.join(program), text).unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(directory.path().join("called"), "").unwrap();
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn kiln(&self, arguments: &[&str]) -> Output {
        let path = format!("{}:{}", self.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.args(arguments).current_dir(self.path()).env("PATH", path);
        kiln.env("KILN_HOME", self.path().join("home")).env("HOME", self.path());
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            kiln.env_remove(name);
        }
        kiln.output().unwrap()
    }

    /// All words that any program was given.
    fn words(&self) -> Vec<String> {
        let called = fs::read(self.path().join("called")).unwrap();
        called.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    fn pwned(&self) -> PathBuf {
        self.path().join("pwned")
    }
}

fn which(program: &str) -> PathBuf {
    std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| "/bin/false".into())
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A step with inputs, as YAML.
fn step(uses: &str, inputs: &[(&str, &str)]) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let with: Vec<String> = inputs.iter().map(|(name, value)| format!("{name}: {}", quoted(value))).collect();
    format!("- uses: {uses}\n  with: {{{}}}\n", with.join(", "))
}

fn build_file(directory: &Path, pipeline: &str) {
    let text = format!("package: {{name: p, version: 1.2, epoch: 0}}\npipeline:\n{pipeline}");
    fs::write(directory.join("melange.yaml"), text).unwrap();
}

#[test]
fn no_input_of_a_source_becomes_an_option() {
    if !has("git") || !has("curl") {
        return skip("git or curl is not installed");
    }
    let place = Place::new();
    // No server answers, so that only the arguments matter.
    let address = "git://127.0.0.1:1/x";
    let hash = "0".repeat(64);
    let commit = "0".repeat(40);
    let fetch = [("uri", "http://127.0.0.1:1/x"), ("expected-sha256", &*hash)];
    let checkout =
        [("repository", address), ("branch", "trunk"), ("expected-commit", &*commit), ("max-retries", "0")];
    let inputs = INPUTS_OF_FETCH.iter().map(|input| ("fetch", &fetch[..], *input));
    let inputs = inputs.chain(INPUTS_OF_CHECKOUT.iter().map(|input| ("git-checkout", &checkout[..], *input)));
    for (uses, usual, input) in inputs {
        for hostile in HOSTILE.into_iter().chain([""]) {
            let hostile = hostile.replace("PWNED", &place.pwned().display().to_string());
            let mut given: Vec<(&str, &str)> = usual.to_vec();
            given.retain(|(name, _)| *name != input && !(input == "tag" && *name == "branch"));
            given.push((input, &hostile));
            build_file(place.path(), &step(uses, &given));
            let output = place.kiln(&["update-cache"]);
            let said = said(&output);
            assert!(matches!(output.status.code(), Some(3 | 4)), "{uses} {input}: {hostile:?}: {output:?}");
            assert!(
                said.starts_with("kiln: ") || said.contains("\nkiln: "),
                "{uses} {input}: {hostile:?}: {said}"
            );
            assert!(!place.pwned().exists(), "{uses} {input}: {hostile:?}: {said}");
        }
    }
    let ours = ["--x=y", "--upload-pack", "--output=/", "-oProxyCommand", "-x"];
    for word in place.words() {
        assert!(!ours.iter().any(|hostile| word.starts_with(hostile)), "a program was given {word:?}");
    }
    // Nothing of it has left the cache, or is in it.
    let names = |path: PathBuf| -> Vec<_> {
        fs::read_dir(path).map_or(Vec::new(), |names| names.map(|name| name.unwrap().file_name()).collect())
    };
    let left: Vec<_> = names(place.path().join("melange-cache"));
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with(".fetch.sha")), "{left:?}");
}

/// Repositories whose submodules lead to the host, and one with an attribute that the user's configuration has a filter for.
const REPOSITORIES: &str = "set -e
export GIT_CONFIG_GLOBAL=/dev/null
for name in secret paths options filtered; do git init --quiet --initial-branch=trunk $name; git -C $name config user.name A; git -C $name config user.email a@b; done
cd secret; echo secret >file; git add .; git commit -qm secret; commit=$(git rev-parse HEAD)
link() { # of submodules: name, URL
  git config -f .gitmodules submodule.\"$1\".path \"$1\"; git config -f .gitmodules submodule.\"$1\".url \"$2\"
  git update-index --add --cacheinfo 160000,$commit,\"$1\"
}
cd ../paths; link a \"file://$PWD/../secret\"; git add .gitmodules; git commit -qm paths
link b \"$PWD/../secret\"; git add .gitmodules; git commit -qm paths
cd ../options; link a '--upload-pack=touch '$PWNED; link b 'ext::sh -c touch% '$PWNED; link c \"ssh://-oProxyCommand=touch $PWNED/x\"
git config -f .gitmodules submodule.a.update '!touch '$PWNED; git add .gitmodules; git commit -qm options
cd ../filtered; echo '* filter=evil' >.gitattributes; echo x >file; git -c filter.evil.clean=cat add .; git commit -qm filtered";

#[test]
fn a_repository_reaches_neither_the_host_nor_its_programs() {
    if !has("git") {
        return skip("git is not installed");
    }
    let place = Place::new();
    let served = place.path().join("served");
    fs::create_dir(&served).unwrap();
    let mut make = Command::new("sh");
    make.args(["-c", REPOSITORIES]).current_dir(&served).env("PWNED", place.pwned());
    let made = make.output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let server = git_server::serve(&served);
    let pwned = place.pwned().display().to_string();
    let configuration = format!(
        "[filter \"evil\"]\n\tsmudge = touch {pwned}\n[core]\n\tfsmonitor = touch {pwned}; false\n\
         [protocol \"ext\"]\n\tallow = always\n[protocol \"file\"]\n\tallow = always\n[url \"{server}/\"]\n\tinsteadOf = git://mirror.test/\n"
    );
    fs::write(place.path().join(".gitconfig"), configuration).unwrap();
    fs::write(place.path().join("evil.sh"), format!("touch {pwned}\n")).unwrap();
    let checkout = |repository: &str, more: &[(&str, &str)]| {
        let inputs =
            [&[("repository", repository), ("branch", "trunk"), ("max-retries", "0")], more].concat();
        build_file(place.path(), &step("git-checkout", &inputs));
        let path = format!("{}:{}", place.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.args(["update-cache", "--progress", "plain"]).current_dir(place.path()).env("PATH", path);
        kiln.env("KILN_HOME", place.path().join("home")).env("HOME", place.path());
        // As where a hook of a repository calls kiln.
        kiln.env("GIT_DIR", served.join("secret/.git")).env("BASH_ENV", place.path().join("evil.sh"));
        kiln.env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "core.hooksPath")
            .env("GIT_CONFIG_VALUE_0", "/");
        let output = kiln.output().unwrap();
        assert!(!place.pwned().exists(), "{repository}: {}", said(&output));
        output
    };
    let all = [("recurse-submodules", "true")];
    for repository in ["paths", "options"] {
        let output = checkout(&format!("{server}/{repository}"), &all);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    }
    for repository in [
        format!("file://{}/secret", served.display()),
        format!("{}/secret", served.display()),
        "served/secret".into(),
        "./served/secret".into(),
    ] {
        let output = checkout(&repository, &[]);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        assert!(said(&output).contains("by https, http, git and ssh only"), "{}", said(&output));
    }
    // How a server is reached the user may say.
    for repository in [format!("{server}/filtered"), "git://mirror.test/filtered".into()] {
        let output = checkout(&repository, &[]);
        assert!(output.status.success(), "{}", said(&output));
    }
    // Of the host's own repository nothing is in the cache.
    let secret = Command::new("grep")
        .args(["-rl", "secret"])
        .arg(place.path().join("melange-cache"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&secret.stdout), "");
}

/// Parts of a build file whose values become words of QEMU, docker, mmdebstrap or apt, `@` in the place of the value.
const PLANNED: [&str; 12] = [
    "package: {name: @, version: '1', epoch: 0}",
    "package: {name: p, version: @, epoch: 0}",
    "package: {name: p, version: '1', epoch: 0, resources: {cpumodel: @}}",
    "package: {name: p, version: '1', epoch: 0, resources: {cpu: @}}",
    "package: {name: p, version: '1', epoch: 0, resources: {memory: @}}",
    "package: {name: p, version: '1', epoch: 0, resources: {disk: @}}",
    "package: {name: p, version: '1', epoch: 0}\nsubpackages: [{name: @}]",
    "package: {name: p, version: '1', epoch: 0}\nenvironment: {contents: {packages: [@]}}",
    "package: {name: p, version: '1', epoch: 0}\nenvironment: {contents: {repositories: [@]}}",
    "package: {name: p, version: '1', epoch: 0}\nenvironment: {contents: {build_repositories: [@]}}",
    "package: {name: p, version: '1', epoch: 0}\ncapabilities: {add: [@]}",
    "package: {name: p, version: '1', epoch: 0}\npipeline: [{needs: {packages: [@]}, runs: 'true'}]",
];

#[test]
fn no_value_of_a_plan_becomes_an_option() {
    let place = Place::new();
    for part in PLANNED {
        let repositories = part.contains("epositories");
        for hostile in HOSTILE {
            let mut values = vec![hostile.replace("PWNED", &place.pwned().display().to_string())];
            if repositories {
                values.extend([
                    format!("deb {hostile} b c"),
                    format!("deb http://h b {hostile}"),
                    format!("deb [arch={hostile}] http://h b c"),
                ]);
            }
            for value in values {
                let text = part.replace('@', &serde_json::to_string(&value).unwrap());
                fs::write(place.path().join("melange.yaml"), text).unwrap();
                let output = place.kiln(&["plan"]);
                assert!(matches!(output.status.code(), Some(2..=4)), "{part}: {value:?}: {output:?}");
                assert!(said(&output).contains("kiln: ") && !place.pwned().exists(), "{part}: {value:?}");
            }
        }
    }
}
