//! Reading and compiling any build file ends without a panic: generated texts, and mutations of valid files.
//!
//! The same properties are fuzz targets (`fuzz/`); this runs on stable. `PROPTEST_CASES` makes it longer.

use std::{path::Path, sync::Arc};

use kiln::{
    commands::explain::describe,
    compile::{self, Arch, Definition, Options, PipelineSource, env_file, explain::ExplainedStep},
    manifest::{self, Diagnostics, Source},
};
use proptest::prelude::*;

/// One definition for every name.
struct One(Arc<Definition>);

impl One {
    fn new(text: &str) -> Option<Self> {
        let source = Source::new(Path::new("definition.yaml"), text);
        let step = manifest::parse_definition(text, &source).ok()?;
        Some(Self(Arc::new(Definition::new(step, source, false))))
    }
}

impl PipelineSource for One {
    fn find(&self, _: &str) -> Result<Option<Arc<Definition>>, Diagnostics> {
        Ok(Some(Arc::clone(&self.0)))
    }
}

const DEFINITION: &str = "inputs: {a: {default: x}, b: {default: '${{inputs.a}}'}}\nneeds: {packages: ['${{inputs.b}}']}\n\
    pipeline: [{runs: 'echo ${{inputs.a}} ${{inputs.b}}'}]\n";

const FILE: &str = "package: {name: p, version: '1', epoch: 0}\nvars: {a: x, b: '${{vars.a}}'}\n\
    data: [{name: t, items: {a: b, c: }}]\nsubpackages: [{name: 's-${{range.key}}', range: t, if: \"'a' == 'a'\"}]\n\
    var-transforms: [{from: '${{vars.a}}', match: '(.)', replace: '$1', to: c}]\n\
    pipeline:\n- uses: d\n  with: {a: '${{vars.c}}'}\n- runs: |\n    if true; then\n      echo ${{build.arch}}\n    fi\n";

/// How many steps of the plan a step and those below it are.
fn numbered(step: &ExplainedStep) -> usize {
    usize::from(step.index.is_some()) + step.steps.iter().map(numbered).sum::<usize>()
}

/// Reads, compiles, flattens, prints and explains.
fn everything(text: &str) {
    let Ok(manifest) =
        manifest::parse(text, Path::new("a.yaml")).inspect_err(|faults| drop(faults.to_string()))
    else {
        return;
    };
    let definitions = One::new(DEFINITION).expect("it is valid");
    let options = Options::new(Arch::X86_64);
    match compile::compile(&manifest, &options, &definitions) {
        Ok(recipe) => {
            drop((recipe.test_steps(), recipe.to_json()));
            let explanation = compile::explain::explain(&manifest, &options, &definitions, &recipe);
            let runs: usize = recipe.package_steps().iter().map(|steps| steps.runs.len()).sum();
            let numbered: usize =
                explanation.packages.iter().flat_map(|package| &package.steps).map(numbered).sum();
            assert_eq!(numbered, runs, "the steps of the plan are those that are explained");
            drop(describe(&explanation));
        }
        Err(faults) => {
            assert!(!faults.0.is_empty(), "an error says why");
            drop(faults.to_string());
        }
    }
}

/// A YAML scalar of any text.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

/// The parts of conditions, references and scripts.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "${{",
        "}}",
        " ",
        "vars.a",
        "inputs.a",
        "build.arch",
        "'",
        "\"",
        "\\",
        "==",
        "!=",
        "&&",
        "||",
        "(",
        ")",
        "a",
        "é",
        "\n",
        "$",
        "{",
        "}",
        "if ",
        "; then",
        "fi",
        "<<E\n",
        "E\n",
        "`",
        "$(",
        "case x in",
        "x)",
        ";;",
        "esac",
        "#",
        "<<-E\n",
        "[[",
        "]]",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn yaml_pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "package",
        "name",
        "pipeline",
        "runs",
        ": ",
        ":",
        "- ",
        "-",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "<<",
        "|",
        ">",
        "'",
        "\"",
        "#",
        "!!str ",
        "!!binary ",
        "---",
        "...",
        "1.10",
        "~",
        "\t",
        "é",
        "? ",
        "%",
        "@",
        "version",
        "epoch",
        "x",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        everything(&text);
    }

    #[test]
    fn anything_like_yaml_is_read_or_refused(text in yaml_pieces()) {
        everything(&text);
    }

    #[test]
    fn a_broken_file_is_read_or_refused(at in 0..FILE.len(), length in 0_usize..20, with in yaml_pieces()) {
        let end = (at + length).min(FILE.len());
        everything(&format!("{}{with}{}", &FILE[..at], &FILE[end..]));
    }

    #[test]
    fn any_condition_and_script_is_compiled_or_refused(condition in pieces(), script in pieces(), input in pieces()) {
        everything(&format!(
            "package: {{name: p, version: '1', epoch: 0}}\nvars: {{a: {}}}\npipeline:\n- if: {}\n  runs: {}\n- uses: d\n  with: {{a: {}}}\n",
            quoted(&input), quoted(&condition), quoted(&script), quoted(&input),
        ));
    }

    #[test]
    fn any_transform_is_run_or_refused(pattern in any::<String>(), replacement in any::<String>(), from in any::<String>()) {
        everything(&format!(
            "package: {{name: p, version: '1', epoch: 0}}\nvar-transforms: [{{from: {}, match: {}, replace: {}, to: x}}]\n",
            quoted(&from), quoted(&pattern), quoted(&replacement),
        ));
    }

    #[test]
    fn any_environment_file_is_read_or_refused(text in pieces()) {
        drop(env_file::parse(&Source::new(Path::new("env"), &text)));
    }

    #[test]
    fn a_script_without_variables_stays_as_it_is(script in "[ -#%-z|~\n]{1,80}") {
        let text = format!("package: {{name: p, version: '1', epoch: 0}}\npipeline: [{{runs: {}}}]\n", quoted(&script));
        let manifest = manifest::parse(&text, Path::new("a.yaml")).expect("it is valid");
        prop_assert_eq!(manifest.pipeline[0].runs.as_str(), script.as_str());
        if let Ok(recipe) = compile::compile(&manifest, &Options::new(Arch::X86_64), &One::new(DEFINITION).expect("valid")) {
            prop_assert_eq!(recipe.steps[0].script.as_str(), script.as_str());
        }
    }
}
