//! `kiln plan --explain`: one file with every way in which a variable gets a value and a step is dropped.

use std::{fs, path::Path};

use kiln::{
    commands::{
        compile::{Options, explain},
        explain::describe,
    },
    compile::Arch,
    manifest,
};

/// Relative, so that what is printed is the same everywhere: tests run in the directory of the package.
const DIRECTORY: &str = "tests/explain";

#[test]
fn the_explanation_is_the_golden_one() {
    let file = Path::new(DIRECTORY).join("demo.yaml");
    let options = Options {
        pipeline_dirs: vec![Path::new(DIRECTORY).join("pipelines")],
        vars_file: Some(Path::new(DIRECTORY).join("vars.yaml")),
        build_options: vec!["fast".into()],
        ..Options::new(Arch::X86_64, vec![file.clone()])
    };
    let explanation = explain(&manifest::load(&file).unwrap(), &options).unwrap();
    let made = describe(&explanation);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain.txt");
    if std::env::var_os("KILN_UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &made).unwrap();
    }
    let kept = fs::read_to_string(&golden).unwrap();
    assert_eq!(made, kept, "{}: KILN_UPDATE_GOLDEN=1 cargo test writes it anew", golden.display());
}

#[test]
fn numbers_of_steps_are_those_of_the_plan() {
    let file = Path::new(DIRECTORY).join("demo.yaml");
    let options = Options {
        pipeline_dirs: vec![Path::new(DIRECTORY).join("pipelines")],
        ..Options::new(Arch::Aarch64, vec![file.clone()])
    };
    let explanation = explain(&manifest::load(&file).unwrap(), &options).unwrap();
    let text = describe(&explanation);
    let numbered: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("step ")).collect();
    assert_eq!(
        numbered,
        [
            "step 0: mine/tell, tests/explain/pipelines/mine/say.yaml:9",
            "step 1: mine/say, tests/explain/pipelines/mine/say.yaml:12",
            "step 2: only on arm, tests/explain/demo.yaml:35",
            "step 3: mv German /home/build/melange-out/demo-de, tests/explain/demo.yaml:54",
        ]
    );
}
