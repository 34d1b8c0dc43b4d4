//! `kiln plan --explain`: one file with every way in which a variable gets a value and a step is dropped.

use std::{fs, path::Path, process::Command};

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

/// A build file that would rather not be read.
const HOSTILE: &str = "package:\n  name: p\n  version: 1.0\n  epoch: 0\nenvironment:\n  environment:\n    LIES: \"v\\n\\nstep 7 of p: lies\\n  | true\"\n\
    \x20   \"\\eB\\n\": \"\\e[2J\\e]0;t\\a\"\npipeline:\n  - name: \"\\e[1A\\u202egnp\\r\\nstep 8 of p\"\n    working-directory: \"\\u009b2J\\nx\"\n    runs: \"echo \\eM\\r a\"\n";

#[test]
fn a_build_file_cannot_draw_over_what_is_read_of_it() {
    if Command::new("bwrap").arg("--version").output().is_err() {
        return crate::skip::skip("bwrap is not installed");
    }
    let project = tempfile::tempdir().expect("a directory");
    fs::write(project.path().join("file.yaml"), HOSTILE).expect("written");
    let plain = |char: char| char == '\n' || char == '\t' || !char.is_control() && char != '\u{202e}';
    for arguments in [
        &["plan", "--runner", "bubblewrap"][..],
        &["plan", "--runner", "bubblewrap", "--json"],
        &["plan", "--explain"],
        &["compile"],
    ] {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        let output =
            kiln.current_dir(project.path()).args(arguments).arg("file.yaml").output().expect("started");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(text.chars().all(plain), "{arguments:?}: {text:?}");
        // Nothing of it is left out.
        assert!(text.contains("\\u001bM") || arguments.contains(&"--explain"), "{arguments:?}: {text}");
        assert!(!text.lines().any(|line| line.starts_with("step 7") || line.starts_with("step 8")), "{text}");
    }
}
