//! Files that a build writes besides packages: `packages.log`, the log of dependencies, and the findings of linters.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::plan::PackageMetadata;

/// Appends a line for each package to the log of packages: `arch|origin|name|version`. All lines are written at once, so that
/// builds that end at the same time do not mix theirs.
///
/// # Errors
/// A file that cannot be opened or written.
pub fn append_packages(file: &Path, packages: &[PackageMetadata]) -> Result<()> {
    let line = |package: &PackageMetadata| {
        let PackageMetadata { arch, origin, name, version, .. } = package;
        format!("{arch}|{origin}|{name}|{version}\n")
    };
    let lines: String = packages.iter().map(line).collect();
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .with_context(|| format!("open the log of packages, {}", file.display()))?;
    log.write_all(lines.as_bytes()).with_context(|| format!("write {}", file.display()))
}

/// The file of `--dependency-log`: the one named, with the architecture behind it.
pub fn dependency_log(named: &Path, arch: &str) -> PathBuf {
    let mut name = OsString::from(named);
    name.push(".");
    name.push(arch);
    name.into()
}

/// The content of that file: the dependencies that kiln has found for one package, in one line.
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
        BuildMetadata::of(&recipe, "p.yaml", 0, &crate::plan::PackagingOptions::default()).packages
    }

    #[test]
    fn each_package_is_a_line_behind_those_of_other_builds() {
        let root = tempfile::tempdir().expect("a scratch directory");
        let file = root.path().join("packages.log");
        fs::write(&file, "x86_64|a|a|1-r0\n").expect("written");
        append_packages(&file, &packages()).expect("written");
        let wanted = "x86_64|a|a|1-r0\nx86_64|p|p|1-r2\nx86_64|p|p-doc|1-r2\n";
        assert_eq!(fs::read_to_string(&file).expect("read"), wanted);
    }

    #[test]
    fn dependencies_are_one_line_of_json() {
        assert_eq!(dependency_log(Path::new("/a/deps.json"), "x86_64"), Path::new("/a/deps.json.x86_64"));
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
