//! `kiln query` and `kiln package-version`: what a build file says, with its variables replaced.

mod evaluate;
mod fields;
mod template;

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::{
    cli::{PackageVersionArgs, QueryArgs},
    compile::{self, Arch, Options, Recipe, serves},
    exit::{Code, Failure},
    manifest::{self, Manifest},
    pipelines::Library,
    report,
};

/// Prints `<name>-<version>-r<epoch>`, without a line break, as melange does.
pub(super) fn package_version(args: &PackageVersionArgs) -> Result<Code> {
    let package = recipe(&args.file)?.package;
    report::print(&format!("{}-{}", package.name, package.full_version()))
}

/// Prints what a template makes of a build file; a line break only where the template has one.
pub(super) fn run(args: &QueryArgs) -> Result<Code> {
    let nodes = template::parse(&args.template)?;
    let document = serde_json::to_value(recipe(&args.file)?)?;
    report::print(&evaluated(&nodes, &document)?)
}

fn evaluated(nodes: &[template::Node], document: &Value) -> Result<String, Failure> {
    evaluate::text(nodes, document, document)
}

/// The file for an architecture that it is for. Its steps are left out: a query needs no definitions of pipelines.
pub(super) fn recipe(file: &Path) -> Result<Recipe, Failure> {
    let manifest = without_steps(manifest::load(file)?);
    let host = Arch::host().unwrap_or(Arch::X86_64);
    let mut all = std::iter::once(host).chain(Arch::ALL);
    let arch = all.find(|arch| serves(&manifest.package, *arch)).unwrap_or(host);
    Ok(compile::compile(&manifest, &Options::new(arch), &Library::new([]))?)
}

fn without_steps(mut manifest: Manifest) -> Manifest {
    manifest.pipeline.clear();
    manifest.test = None;
    for subpackage in &mut manifest.subpackages {
        subpackage.pipeline.clear();
        subpackage.test = None;
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "package:
  name: p
  version: '1.2'
  epoch: 3
  copyright: [{license: MIT}, {license: ISC}]
  dependencies: {runtime: [a, b]}
vars: {x: y}
data: [{name: langs, items: {de: German, fr: French}}]
pipeline: [{uses: own/definition}]
subpackages:
- {range: langs, name: 'p-${{range.key}}', description: '${{range.value}}'}
";

    fn query(template: &str) -> Result<String, Failure> {
        let manifest = manifest::parse(FILE, Path::new("p.yaml")).expect("it is valid");
        let options = Options::new(Arch::X86_64);
        let recipe = compile::compile(&without_steps(manifest), &options, &Library::new([]));
        let document = serde_json::to_value(recipe.expect("it compiles")).expect("it is JSON");
        evaluated(&template::parse(template)?, &document)
    }

    #[test]
    fn a_template_is_gos() {
        for (template, wanted) in [
            ("{{ .Package.Name }}-{{ .Package.Version }}-{{ .Package.Epoch }}", "p-1.2-3"),
            ("{{.Package.FullVersion}}\n", "1.2-r3\n"),
            (
                "{{range .Subpackages}}{{.Name}}={{.Description}} {{$.Package.Name}};{{end}}",
                "p-de=German p;p-fr=French p;",
            ),
            ("a {{- /* no */ -}} b", "ab"),
            ("a {{- .Package.Name -}}\n b", "apb"),
            ("{{if .Package.URL}}x{{else if eq .Package.Name \"p\"}}y{{else}}z{{end}}", "y"),
            ("{{range .Package.Dependencies.Provides}}x{{else}}none{{end}}", "none"),
            ("{{printf \"%s:%d %q %%\" .Package.Name .Package.Epoch \"}}\"}}", "p:3 \"}}\" %"),
            ("{{.Package.Dependencies.Runtime}} {{len .Package.Copyright}}", "[a b] 2"),
            ("{{range .Package.Copyright}}{{.License}} {{end}}{{.Vars}}", "MIT ISC map[x:y]"),
            ("{{not (eq .Package.Name `p`)}} {{ne 1 2}}", "false true"),
            ("{{.Package.Scriptlets.PostInstall}}{{.Package.Description}}", ""),
        ] {
            assert_eq!(query(template).as_deref(), Ok(wanted), "{template}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (template, named) in [
            ("{{.Package.Nme}}", ".Package.Nme"),
            ("{{with .Package}}{{end}}", "with"),
            ("{{.Package.Name | upper}}", "|"),
            ("{{$x := 1}}", "$x"),
            ("{{range .Package}}", "without end"),
            ("{{end}}", "end"),
            ("{{else}}", "else"),
            ("{{.Package", "}}"),
            ("{{printf \"%x\" 1}}", "%x"),
            ("{{printf \"%s\"}}", "too few"),
            ("{{range .Package.Name}}{{end}}", "\"p\""),
            ("{{(((.}}", ")"),
            ("{{len}}", "len"),
            ("{{}}", "missing"),
        ] {
            let what = query(template).expect_err(template).what;
            assert!(what.contains(named), "{template}: {what}");
        }
        let deep = "{{if .Package.Name}}".repeat(1_000);
        assert!(query(&deep).expect_err("it is deep").what.contains("64 deep"));
    }
}
