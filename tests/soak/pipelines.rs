//! The built-in pipelines, each family in a real build of a small project: `tests/pipelines/*.yaml` succeed, those in `fails/` fail
//! as their first line says. Without a network: what is fetched is served by a step.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Output,
};

use crate::{
    place::{Place, build_files},
    sampling::Sampler,
};

/// How many are built where not all are.
const FEW: usize = 2;

/// The first line of a build file that must fail.
const FAILS: &str = "# Must fail in a step with: ";

/// One root for the files that need little: an image each would take longer than the builds.
pub(crate) const SMALL: &str =
    "busybox,git,patch,python3,python3-build,python3-installer,python3-setuptools,python3-venv,wget";

/// One for what is compiled.
const NATIVE: &str = "autoconf,automake,binutils,build-essential,busybox,ca-certificates,cmake,coreutils,git,golang-go,libtool,make,meson,\
                      ninja-build,patch,pax-utils,perl,php-dev,python3,python3-build,python3-installer,python3-setuptools,python3-venv,\
                      ruby,wget";

/// One for languages with large tools.
const LANGUAGES: &str = "build-essential,busybox,cargo,clang,libclang-rt-14-dev,llvm-14,maven,nodejs,npm,python3,python3-venv,\
                         r-base-core,r-base-dev,rustc";

/// The root that a build file's packages are in.
fn packages(name: &str) -> &'static str {
    match name {
        "autotools" | "build-systems" | "go" | "go-without-module" | "perl-ruby-php" => NATIVE,
        "cargo" | "llvm" | "maven" | "npm" | "r" => LANGUAGES,
        _ => SMALL,
    }
}

/// One build file.
#[derive(Debug)]
struct Case {
    file: PathBuf,
    /// The text of the error; `None` for a build that succeeds.
    fails: Option<String>,
}

impl Case {
    fn name(&self) -> &str {
        self.file.file_stem().and_then(|stem| stem.to_str()).unwrap()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn cases(directory: &Path) -> Vec<Case> {
    let case = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        Case { fails: first.strip_prefix(FAILS).map(str::to_owned), file }
    };
    build_files(directory).into_iter().map(case).collect()
}

/// A name chooses one alone; else all in the soak, and otherwise those whose root is soon made.
fn chosen(all: Vec<Case>) -> Vec<Case> {
    let whole = std::env::var_os("KILN_SOAK").is_some_and(|value| value == "1");
    match std::env::var("KILN_SOAK_PIPELINE") {
        Ok(name) => all.into_iter().filter(|case| case.name() == name).collect(),
        Err(_) if whole => all,
        Err(_) => all.into_iter().filter(|case| packages(case.name()) == SMALL).collect(),
    }
}

/// In what a case is built: most in a sandbox, which starts at once, the first and every fifth in a microVM.
fn runner(at: usize) -> &'static [&'static str] {
    if at.is_multiple_of(5) {
        &["qemu", "--accel", "tcg", "--memory", "2Gi", "--disk", "4Gi"]
    } else {
        &["bubblewrap"]
    }
}

fn build(case: &Case, runner: &[&str]) -> Output {
    let place = Place::new();
    fs::copy(&case.file, place.project().join("melange.yaml")).unwrap();
    let image = format!("debian:bookworm+{}", packages(case.name()));
    let mut kiln = place.kiln();
    kiln.args([
        "build",
        "--progress",
        "plain",
        "--network",
        "off",
        "--cache-dir",
        "cache",
        "--image",
        &image,
    ]);
    kiln.arg("--runner").args(runner).output().unwrap()
}

#[test]
fn pipelines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines");
    let mut all = cases(&root);
    let failing = cases(&root.join("fails"));
    assert!(all.iter().all(|case| case.fails.is_none()) && failing.iter().all(|case| case.fails.is_some()));
    all.extend(failing);
    let (sampler, cases) = Sampler::of("pipelines", chosen(all), FEW);
    let mut wrong = Vec::new();
    for (at, case) in cases.into_iter().enumerate() {
        let output = build(&case, runner(at));
        let said = String::from_utf8_lossy(&output.stderr);
        let (code, expected) = (output.status.code(), if case.fails.is_some() { 5 } else { 0 });
        let right =
            code == Some(expected) && case.fails.as_ref().is_none_or(|why| said.contains(why.as_str()));
        sampler.say(&format!(
            "{case} in {}: {code:?}{}",
            runner(at)[0],
            if right { "" } else { ", which is wrong" }
        ));
        if !right {
            wrong.push(format!("{case}: expected {expected} and {:?}:\n{said}", case.fails));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
