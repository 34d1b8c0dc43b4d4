//! Cases of `tests/apk/cases` have the same packages in a microVM as in a sandbox, byte for byte, signature included.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{apk_repository, home_of_its_own, said};

/// Small ones with links, long paths, shared libraries and several packages.
const CASES: [&str; 5] = ["plain", "subpackages", "longpaths", "links", "shlib"];

/// The packages of a case by their names.
fn built(site: &Path, home: &Path, case: &str, runner: &[&str]) -> Vec<(String, Vec<u8>)> {
    let out = site.join(format!("out-{}-{case}", runner[1]));
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(["build", &format!("cases/{case}/{case}.yaml"), "--cache-dir=", "--progress", "plain"]);
    command.args(["--source-dir", &format!("cases/{case}/src"), "--signing-key", "testix.rsa"]).args(runner);
    command.arg("--out-dir").arg(&out).current_dir(site).env("KILN_HOME", home).stdin(Stdio::null());
    let output = command.output().expect("kiln can be started");
    assert!(output.status.success(), "{case}: {}", said(&output));
    let files = fs::read_dir(out.join("x86_64")).expect("listed").map(|file| file.expect("listed").path());
    let packages = files.filter(|path| path.extension().is_some_and(|extension| extension == "apk"));
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut packages: Vec<_> =
        packages.map(|path| (name(&path), fs::read(path).expect("it can be read"))).collect();
    packages.sort();
    packages
}

#[test]
fn packages_are_the_same_bytes_as_those_of_a_sandbox() {
    let site = tempfile::tempdir().expect("a directory can be made");
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk/cases");
    let copied = Command::new("cp").arg("-r").arg(cases).arg(site.path()).status();
    assert!(copied.expect("cp can be started").success());
    apk_repository::write(site.path());
    let home = home_of_its_own();
    for case in CASES {
        let microvm = built(site.path(), home.path(), case, &["--runner", "qemu", "--accel", "tcg"]);
        let sandbox = built(site.path(), home.path(), case, &["--runner", "bubblewrap"]);
        assert!(!microvm.is_empty() && microvm == sandbox, "{case}: the packages differ");
    }
}
