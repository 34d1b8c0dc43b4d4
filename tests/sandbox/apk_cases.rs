//! Each case of `tests/apk/cases` is built, and its packages are compared with melange's in `tests/apk/expected`: every tar header,
//! PAX record and line of `.PKGINFO`, `.melange.yaml` by its meaning, the SBOM, the exit status. The same packages, built once more and
//! by another user, have the same bytes, signature included. apk installs all of them.

mod configuration;
mod install;
mod package;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{apk_repository, apk_tools, has_bwrap, skip};

/// What kiln does otherwise on purpose: the case, the difference, the reason.
const DIFFERENCES: [(&str, &str, &str); 7] = [
    (
        "ini-multiline",
        "ini-lines-1.2.3-r4.apk is missing",
        "a line break in a field of one line is refused before the build; melange fails after it",
    ),
    ("ini-multiline", "ini-multiline-1.2.3-r4.apk is missing", "as above"),
    ("setcap", "exit 8", "a file of package.setcap that is missing is an error"),
    ("setcap", "setcap-1.2.3-r4.apk is missing", "as above"),
    ("unicode", "exit 8", "apk refuses packages with control characters in names"),
    ("unicode", "unicode-1.2.3-r4.apk is missing", "as above"),
    ("sources", "/downloadLocation", "a source's own repository, not the tarballs of one company"),
];

/// The case that another user cannot build: without subordinate ids, files have one owner.
const OF_ROOT: &str = "owners";

/// The user of the second build.
const OTHER: &str = "4321";

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk")
}

/// A directory with all cases, the base repository, its key, and a home.
fn site() -> tempfile::TempDir {
    let site = tempfile::tempdir().expect("a directory can be made");
    for name in ["cases", "stub-pipelines"] {
        let copied = Command::new("cp").arg("-r").arg(data().join(name)).arg(site.path()).status();
        assert!(copied.expect("cp can be started").success());
    }
    let source = site.path().join("cases/xattrs/src");
    let made = Command::new("cc").args(["-static", "-o", "setx", "setx.c"]).current_dir(source).status();
    assert!(made.is_ok_and(|status| status.success()), "a C compiler with a static libc is needed");
    apk_repository::write(site.path());
    site
}

/// A copy of a site for another user.
fn given(site: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory can be made");
    let mut command = Command::new("cp");
    command.arg("-a").arg(format!("{}/.", site.display())).arg(copy.path());
    assert!(command.status().expect("cp can be started").success());
    let owner = format!("{OTHER}:{OTHER}");
    let given = Command::new("chown").args(["-R", &owner]).arg(copy.path()).status();
    assert!(given.expect("chown can be started").success());
    copy
}

/// Runs the command of a case, by this user; its exit status, its packages, and what it said.
fn built(site: &Path, expected: &Value, user: Option<&str>) -> (i32, BTreeMap<String, Vec<u8>>, String) {
    let name = expected["case"].as_str().expect("it has a name");
    let mut command = match user {
        None => Command::new(env!("CARGO_BIN_EXE_kiln")),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups", env!("CARGO_BIN_EXE_kiln")]);
            command
        }
    };
    let words = expected["command"].as_str().expect("it has a command").split(' ').skip(1);
    let words = words.filter(|word| !word.is_empty());
    // Its value is an empty word: no cache.
    command.args(words.map(|word| if word == "--cache-dir" { "--cache-dir=" } else { word }));
    command.args(["--progress", "plain"]).current_dir(site);
    command.env("KILN_HOME", site.join("home")).env_remove("SOURCE_DATE_EPOCH").stdin(Stdio::null());
    let output = command.output().expect("kiln can be started");
    let directory = site.join(format!("out/{name}/packages/x86_64"));
    let files = fs::read_dir(directory).into_iter().flatten().map(|file| file.expect("listed").path());
    let packages = files.filter(|path| path.extension().is_some_and(|extension| extension == "apk"));
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let packages = packages.map(|path| (name(&path), fs::read(path).expect("it can be read"))).collect();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), packages, said)
}

fn expected() -> Vec<Value> {
    let files = fs::read_dir(data().join("expected")).expect("the results are there");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("listed").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| fs::read(path).expect("it can be read");
    paths.iter().map(|path| serde_json::from_slice(&read(path)).expect("it is JSON")).collect()
}

/// What is different, as a path to the value; a difference of texts is its path alone.
fn differences(at: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&format!("{at}/{key}"), &of(one), &of(other), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{at}/{index}"), one, other, found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => found.push(format!("{at}: melange {one}, kiln {other}")),
    }
}

/// All differences of one case.
fn of_case(expected: &Value, code: i32, packages: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut found = Vec::new();
    if (code == 0) != (expected["exit_status"] == 0) {
        found.push(format!("exit {code}"));
    }
    for (path, melange) in expected["packages"].as_object().into_iter().flatten() {
        let name = path.rsplit('/').next().unwrap_or_default();
        match packages.get(name) {
            None => found.push(format!("{name} is missing")),
            Some(bytes) => {
                let kiln = package::compared(&package::document(bytes));
                differences(name, &package::compared(melange), &kiln, &mut found);
            }
        }
    }
    found
}

fn is_known(case: &str, difference: &str) -> Option<usize> {
    let place = difference.split(": melange").next().unwrap_or_default();
    let fits = |named: &str| if named.starts_with('/') { place.ends_with(named) } else { place == named };
    DIFFERENCES.iter().position(|(of, named, _)| *of == case && fits(named))
}

#[test]
fn packages_are_those_of_melange_for_each_user() {
    if !has_bwrap() {
        return;
    }
    if !Path::new(apk_repository::BUSYBOX).exists() {
        return skip("busybox-static is not installed");
    }
    let site = site();
    let other = nix::unistd::geteuid().is_root().then(|| given(site.path()));
    if other.is_none() {
        skip("only root can build as another user, too");
    }
    let (mut wrong, mut known, mut all) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    let cases = expected();
    for expected in &cases {
        let case = expected["case"].as_str().expect("it has a name");
        let (code, packages, said) = built(site.path(), expected, None);
        for difference in of_case(expected, code, &packages) {
            match is_known(case, &difference) {
                Some(entry) => _ = known.insert(entry),
                None => wrong.push(format!("{case}: {difference}\n{said}")),
            }
        }
        let (again, twice, _) = built(site.path(), expected, None);
        if (code, &packages) != (again, &twice) {
            wrong.push(format!("{case}: built twice, the packages differ"));
        }
        if let Some(other) = &other {
            let (by_other, of_other, said) = built(other.path(), expected, Some(OTHER));
            let is_same = (code, &packages) == (by_other, &of_other);
            if is_same == (case == OF_ROOT) {
                wrong.push(format!(
                    "{case}: by another user, equal is {is_same} (exit {code}, {by_other})\n{said}"
                ));
            }
        }
        all.extend(packages);
    }
    if let Some(tools) = apk_tools::tools() {
        wrong.extend(install::refused(&tools, site.path(), &all));
    }
    assert_eq!(cases.len(), 40);
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(known.len(), DIFFERENCES.len(), "an entry of DIFFERENCES is no difference any more");
}
