//! Files that a build writes besides packages: `packages.log`, the log of dependencies, and the findings of linters.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Error, Result};
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    unistd::{AccessFlags, faccessat},
};
use serde_json::{Map, Value, json};

use crate::{
    exit::{Code, Failure},
    plan::{PackageMetadata, PackagingOptions},
};

/// The logs that the options of a build name, open for writing.
#[derive(Debug)]
pub struct Logs {
    packages: Option<(PathBuf, File)>,
    dependencies: Option<(PathBuf, File)>,
}

impl Logs {
    /// Opens the logs, or makes them. This comes before packages have names, so that a log that cannot be written leaves no package.
    ///
    /// # Errors
    /// A host failure with the file that cannot be opened.
    pub fn open(options: &PackagingOptions, arch: &str) -> Result<Self> {
        let open = |file: PathBuf, options: &OpenOptions| -> Result<(PathBuf, File)> {
            let opened = options.open(&file).map_err(|error| unwritable(&file, &error))?;
            Ok((file, opened))
        };
        let (log, dependencies) = files(options, arch);
        let packages =
            log.map(|file| open(file, OpenOptions::new().append(true).create(true))).transpose()?;
        // It keeps what it has until there is something new.
        let anew = |file| open(file, OpenOptions::new().write(true).create(true).truncate(false));
        Ok(Self { packages, dependencies: dependencies.map(anew).transpose()? })
    }

    /// Appends a line for each package to the log of packages: `arch|origin|name|version`. All lines are written at once, so that
    /// builds that end at the same time do not mix theirs. The log of dependencies has `found` alone.
    ///
    /// # Errors
    /// A host failure with the file that cannot be written.
    pub fn write(self, packages: &[PackageMetadata], found: &str) -> Result<()> {
        let line = |package: &PackageMetadata| {
            let PackageMetadata { arch, origin, name, version, .. } = package;
            format!("{arch}|{origin}|{name}|{version}\n")
        };
        if let Some((file, mut log)) = self.packages {
            let lines: String = packages.iter().map(line).collect();
            log.write_all(lines.as_bytes()).map_err(|error| unwritable(&file, &error))?;
        }
        if let Some((file, mut log)) = self.dependencies {
            // A device has no length.
            let is_file = log.metadata().is_ok_and(|of| of.is_file());
            let emptied = if is_file { log.set_len(0) } else { Ok(()) };
            emptied
                .and_then(|()| log.write_all(found.as_bytes()))
                .map_err(|error| unwritable(&file, &error))?;
        }
        Ok(())
    }
}

/// Whether the logs can be written: checked before a build, whose result would be lost. The build makes `out_dir`, with the directory of
/// the architecture in it.
///
/// # Errors
/// A host failure with the file that cannot be written.
pub fn check_logs(options: &PackagingOptions, out_dir: &Path, arch: &str) -> Result<()> {
    let (packages, dependencies) = files(options, arch);
    let of_packages = out_dir.join(arch);
    for file in packages.into_iter().chain(dependencies) {
        check(&file, &of_packages).map_err(|error| unwritable(&file, &error))?;
    }
    Ok(())
}

fn check(file: &Path, of_packages: &Path) -> io::Result<()> {
    let is_made = |parent: &Path| !parent.exists() && of_packages.starts_with(parent);
    if file.parent().is_some_and(is_made) {
        return Ok(());
    }
    if file.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let (path, access) = match file.exists() {
        true => (file, AccessFlags::W_OK),
        false => (file.parent().unwrap_or(Path::new("/")), AccessFlags::W_OK | AccessFlags::X_OK),
    };
    Ok(faccessat(AT_FDCWD, path, access, AtFlags::AT_EACCESS)?)
}

fn unwritable(file: &Path, error: &io::Error) -> Error {
    let what = format!("write the log {}: {error}", file.display());
    let way_out = "make it a file that this user can write, name another one with --dependency-log, or leave the option out";
    Failure::new(Code::Host, what, way_out).into()
}

/// The log of packages and that of dependencies, which has the architecture behind the name that is given.
fn files(options: &PackagingOptions, arch: &str) -> (Option<PathBuf>, Option<PathBuf>) {
    let PackagingOptions { build_log, dependency_log, .. } = options;
    let of_arch = |named: &PathBuf| {
        let mut name = OsString::from(named);
        name.push(".");
        name.push(arch);
        PathBuf::from(name)
    };
    (build_log.clone(), dependency_log.as_ref().map(of_arch))
}

/// The content of the log of dependencies: those that kiln has found for one package, in one line.
pub fn dependencies(runtime: &[String], provides: &[String]) -> String {
    let mut found = Map::new();
    for (key, words) in [("runtime", runtime), ("provides", provides)] {
        if !words.is_empty() {
            found.insert(key.into(), json!(words));
        }
    }
    format!("{}\n", Value::Object(found))
}

/// The file with the findings of a package's linters, beside the package.
pub fn lint_results_file(package: &PackageMetadata) -> String {
    format!("lint-{}.json", package.file_stem())
}

/// The content of that file; `None` without a finding, which makes no file. A finding is an object with `message`, and perhaps
/// `explain` and `details`.
pub fn lint_results(package: &PackageMetadata, findings: &BTreeMap<String, Vec<Value>>) -> Option<String> {
    let found: BTreeMap<_, _> = findings.iter().filter(|(_, of_linter)| !of_linter.is_empty()).collect();
    let document = json!({ "package_name": package.file_stem(), "findings": found });
    (!found.is_empty()).then(|| format!("{document:#}\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::plan::BuildMetadata;

    fn packages() -> Vec<PackageMetadata> {
        let text = "package: {name: p, version: '1', epoch: 2}\npipeline: [{runs: 'true'}]\nsubpackages: [{name: p-doc}]\n";
        let manifest = crate::manifest::parse(text, Path::new("p.yaml")).expect("it is valid");
        let options = crate::compile::Options::new(crate::compile::Arch::X86_64);
        let library = crate::pipelines::Library::new([]);
        let recipe = crate::compile::compile(&manifest, &options, &library).expect("it compiles");
        BuildMetadata::of(&recipe, "p.yaml", 0, &PackagingOptions::default()).packages
    }

    fn options(root: &Path) -> PackagingOptions {
        PackagingOptions {
            build_log: Some(root.join("packages.log")),
            dependency_log: Some(root.join("deps.json")),
            ..PackagingOptions::default()
        }
    }

    #[test]
    fn each_package_is_a_line_behind_those_of_other_builds() {
        let root = tempfile::tempdir().expect("a scratch directory");
        let at = |name: &str| root.path().join(name);
        fs::write(at("packages.log"), "x86_64|a|a|1-r0\n").expect("written");
        fs::write(at("deps.json.x86_64"), "a long line of an earlier build\n").expect("written");
        let logs = Logs::open(&options(root.path()), "x86_64").expect("opened");
        logs.write(&packages(), "{}\n").expect("written");
        let wanted = "x86_64|a|a|1-r0\nx86_64|p|p|1-r2\nx86_64|p|p-doc|1-r2\n";
        assert_eq!(fs::read_to_string(at("packages.log")).expect("read"), wanted);
        assert_eq!(fs::read_to_string(at("deps.json.x86_64")).expect("read"), "{}\n");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_refused_before() {
        let root = tempfile::tempdir().expect("a scratch directory");
        let out_dir = root.path().join("out/packages");
        check_logs(&options(root.path()), &out_dir, "x86_64").expect("they can be made");
        for made in [&out_dir, &out_dir.join("x86_64"), &root.path().join("out")] {
            check_logs(&options(made), &out_dir, "x86_64").expect("the build makes the directory");
        }
        assert_eq!(fs::read_dir(root.path()).expect("listed").count(), 0);
        fs::create_dir(root.path().join("deps.json.x86_64")).expect("made");
        for root in [root.path(), &root.path().join("missing")] {
            let errors = [
                check_logs(&options(root), &out_dir, "x86_64").expect_err("it cannot be written"),
                Logs::open(&options(root), "x86_64").expect_err("it cannot be written"),
            ];
            for error in errors {
                assert_eq!(crate::exit::code_of(&error), Code::Host, "{error:#}");
            }
        }
    }

    #[test]
    fn dependencies_are_one_line_of_json() {
        assert_eq!(dependencies(&[], &[]), "{}\n");
        assert_eq!(
            dependencies(&["so:libc.so.6".into()], &["cmd:a=1-r2".into()]),
            "{\"runtime\":[\"so:libc.so.6\"],\"provides\":[\"cmd:a=1-r2\"]}\n"
        );
    }

    #[test]
    fn findings_have_the_name_and_version_of_their_package() {
        let packages = packages();
        let package = packages.first().expect("it has one");
        let none = BTreeMap::from([("dll".to_owned(), Vec::new())]);
        assert_eq!(lint_results(package, &none), None);
        let one = BTreeMap::from([("opt".to_owned(), vec![json!({"message": "m"})])]);
        let text = lint_results(package, &one).expect("it has a finding");
        let wanted = json!({"package_name": "p-1-r2", "findings": {"opt": [{"message": "m"}]}});
        assert_eq!(serde_json::from_str::<Value>(&text).expect("it is JSON"), wanted);
        assert_eq!(lint_results_file(package), "lint-p-1-r2.json");
    }
}
