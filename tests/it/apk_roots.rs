//! Roots from apk's repositories, by the command line: which packages are chosen, and what is refused before anything starts.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// A directory with the repositories of a case, and a home of its own.
struct Site {
    directory: tempfile::TempDir,
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk/repositories")
}

impl Site {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Runs `kiln plan --json` on a build file with this environment.
    fn plan(&self, environment: &str, arguments: &[&str]) -> Output {
        let file = format!(
            "package: {{name: p, version: '1', epoch: 0}}\nenvironment: {environment}\npipeline: [{{runs: 'true'}}]\n"
        );
        fs::write(self.directory.path().join("p.yaml"), file).unwrap();
        Command::new(env!("CARGO_BIN_EXE_kiln"))
            .args(["plan", "p.yaml", "--json", "--arch", "x86_64", "--runner", "bubblewrap"])
            .args(arguments)
            .current_dir(self.directory.path())
            .env("KILN_HOME", self.directory.path().join("home"))
            .output()
            .unwrap()
    }

    fn chosen(&self, environment: &str, arguments: &[&str]) -> Vec<String> {
        let output = self.plan(environment, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = plan["image"]["packages"].as_array().unwrap().iter();
        packages
            .map(|one| format!("{} {}", one["name"].as_str().unwrap(), one["version"].as_str().unwrap()))
            .collect()
    }

    fn refused(&self, environment: &str, arguments: &[&str], code: i32) -> String {
        let output = self.plan(environment, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }
}

fn repository_path(case: &str) -> PathBuf {
    data().join(case).join("r")
}

fn repository(case: &str) -> String {
    repository_path(case).display().to_string()
}

fn key() -> String {
    data().join("testix.rsa.pub").display().to_string()
}

#[test]
fn a_build_file_and_flags_name_repositories_keys_and_packages() {
    let site = Site::new();
    let (repository, key) = (repository("busybox-links"), key());
    let wanted = ["base 1-r0", "busybox 1.36.1-r0"];
    let contents =
        format!("{{contents: {{repositories: ['{repository}'], keyring: ['{key}'], packages: [busybox]}}}}");
    assert_eq!(site.chosen(&contents, &[]), wanted);
    let build = format!(
        "{{contents: {{build_repositories: ['{repository}'], keyring: ['{key}'], packages: [busybox]}}}}"
    );
    assert_eq!(site.chosen(&build, &[]), wanted);
    let flags = ["-r", &repository, "-k", &key, "--package-append", "busybox"];
    assert_eq!(site.chosen("{}", &flags), wanted);
    let cache = site.directory.path().join("elsewhere");
    let flags = [
        "-r",
        &repository,
        "--ignore-signatures",
        "--package-append=base",
        "--apk-cache-dir",
        cache.to_str().unwrap(),
    ];
    assert_eq!(site.chosen("{}", &flags), ["base 1-r0"]);
}

#[test]
fn what_cannot_be_trusted_or_chosen_is_a_failure_of_the_host() {
    let site = Site::new();
    let (repository, key) = (repository("busybox-links"), key());
    let other = data().join("other.rsa.pub").display().to_string();
    let append = "--package-append=base";
    assert!(site.refused("{}", &["-r", &repository, append], 4).contains("no key was given"));
    assert!(
        site.refused("{}", &["-r", &repository, "-k", &other, append], 4)
            .contains("is signed by testix.rsa.pub")
    );
    let said = site.refused("{}", &["-r", &repository, "-k", &key, "--package-append=nothing-like-it"], 4);
    assert!(said.contains("nothing-like-it"), "{said}");
    let unreachable = "http://127.0.0.1:1/os";
    let said = site.refused("{}", &["-r", unreachable, "-k", &key, append], 4);
    assert!(
        said.contains("the index of http://127.0.0.1:1/os") && said.contains("--image debian:"),
        "{said}"
    );
}

#[test]
fn an_error_names_the_solver_that_finds_a_set() {
    let site = Site::new();
    let repository = site.directory.path().join("r");
    fs::create_dir_all(repository.join("x86_64")).unwrap();
    let checksum = "Q11LIKtm7p2BYVUrBOTliMhTaU7/s=";
    let record = |name: &str, rest: &str| format!("C:{checksum}\nP:{name}\nA:x86_64\n{rest}\n\n");
    let records =
        [record("app", "V:1-r0\nD:v"), record("x", "V:1-r0\np:v\nk:10\nD:gone"), record("y", "V:1-r0\np:v")];
    archive(&repository.join("x86_64/APKINDEX.tar.gz"), &records.concat());
    let common = ["-r", repository.to_str().unwrap(), "--ignore-signatures", "--package-append", "app"];
    let said = site.refused("{}", &common, 4);
    assert!(said.contains("Give --solver complete: it finds a set of 2 packages"), "{said}");
    let complete = [&common[..], &["--solver", "complete"]].concat();
    assert_eq!(site.chosen("{}", &complete), ["y 1-r0", "app 1-r0"]);
    archive(&repository.join("x86_64/APKINDEX.tar.gz"), &records[..2].concat());
    assert!(!site.refused("{}", &common, 4).contains("--solver"));
    let said = site.refused("{}", &complete, 4);
    assert!(said.contains("no set of packages satisfies all requests"), "{said}");
}

/// An index without a signature.
fn archive(path: &Path, index: &str) {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        fs::File::create(path).unwrap(),
        flate2::Compression::fast(),
    ));
    let mut header = tar::Header::new_ustar();
    header.set_size(index.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "APKINDEX", index.as_bytes()).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

#[test]
fn a_build_file_does_not_name_services_of_the_host() {
    let site = Site::new();
    let environment = "{contents: {repositories: ['http://me:secret@127.0.0.1:1/os'], packages: [busybox]}}";
    let said = site.refused(environment, &[], 3);
    assert!(said.contains("line 2, column") && !said.contains("secret"), "{said}");
    let said = site.refused(environment, &["--allow-insecure-repositories"], 4);
    assert!(said.contains("***@127.0.0.1:1") && !said.contains("secret"), "{said}");
}

#[test]
fn a_lock_gives_the_same_packages_without_an_index() {
    let site = Site::new();
    let (repository, key) = (site.directory.path().join("r"), key());
    let copied = Command::new("cp").arg("-r").arg(repository_path("busybox-links")).arg(&repository).status();
    assert!(copied.unwrap().success());
    let common = ["-r", repository.to_str().unwrap(), "-k", &key, "--package-append", "busybox"];
    let wanted = site.chosen("{}", &[&common[..], &["--lock", "lock.json"]].concat());
    fs::remove_file(repository.join("x86_64/APKINDEX.tar.gz")).unwrap();
    assert_eq!(site.chosen("{}", &[&common[..], &["--locked", "lock.json"]].concat()), wanted);
    let more = [&common[..], &["--package-append=base", "--locked=lock.json"]].concat();
    assert!(site.refused("{}", &more, 2).contains("is for other packages: base"));
    let said = site.refused("{}", &["--image", "debian:bookworm", "--locked=lock.json"], 2);
    assert!(
        said.contains("--locked: the root of this build does not come from apk's repositories"),
        "{said}"
    );
}

#[test]
fn an_image_that_is_named_wins() {
    let site = Site::new();
    let root = site.directory.path().join("root");
    fs::create_dir(&root).unwrap();
    let environment = "{contents: {repositories: [./packages], packages: [busybox]}}";
    let output = site.plan(environment, &["--image", root.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["image"]["source"]["directory"], root.to_str().unwrap());
}

#[test]
fn a_signal_ends_a_build_that_waits_for_a_repository() {
    let site = Site::new();
    // It takes requests, and never answers.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = "package: {name: p, version: '1', epoch: 0}\npipeline: [{runs: 'true'}]\n";
    fs::write(site.directory.path().join("p.yaml"), file).unwrap();
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.args(["build", "p.yaml", "--runner", "bubblewrap", "--cache-dir", "", "--package-append", "x"]);
        kiln.arg("-r").arg(format!("http://{}/os", server.local_addr().unwrap()));
        kiln.current_dir(site.directory.path()).env("KILN_HOME", site.directory.path().join("home"));
        let child = kiln.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let _request = server.accept().unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
