//! No text of an input becomes shell: the scripts of all built-in definitions run, as they would in a guest, with inputs that try.
//!
//! There is no `PATH`, and a command that is not found has succeeded, so that nothing but the shell itself runs, and that all of it
//! does: expansions, tests, loops, redirections.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln::{
    compile::{self, Arch, Options, PipelineSource, Run},
    manifest,
    pipelines::Library,
};

/// Texts that a shell would run; `PWNED` stands for a file that must not be made.
const HOSTILE: [&str; 6] = [
    "'; >PWNED; '",
    "\"; >PWNED; \"",
    "$(>PWNED)`>PWNED`",
    "x\n>PWNED\nx",
    "a[$(>PWNED)]",
    "it's; >PWNED && \\\" $(>PWNED) #",
];

/// Written in the description of an input that is shell by design.
const SHELL: &str = "hell text";

fn names() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipelines");
    let mut names = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                let name = path.strip_prefix(&root).unwrap().with_extension("");
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names
}

/// The shells of a definition with these inputs, in a subpackage; `None` where the inputs are refused.
fn runs(name: &str, inputs: &[(&str, &str)], library: &Library) -> Option<Vec<Run>> {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let with: Vec<String> =
        inputs.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value))).collect();
    let text = format!(
        "package: {{name: p, version: '1', epoch: 0}}\nsubpackages:\n- name: q\n  pipeline:\n  - uses: {name}\n    with: {{{}}}\n",
        with.join(", ")
    );
    let file = manifest::parse(&text, Path::new("user.yaml")).unwrap();
    let recipe = compile::compile(&file, &Options::new(Arch::X86_64), library).ok()?;
    Some(recipe.package_steps().swap_remove(1).runs)
}

fn run(run: &Run, directory: &Path) {
    let script = format!("command_not_found_handle() {{ return 0; }}\n{}", run.script);
    let mut shell = Command::new("/usr/bin/timeout");
    shell.args(["5", "/bin/bash", "--noprofile", "--norc", "-c", &script]).env_clear();
    shell.envs(&run.environment).env("PATH", "/nonexistent").env("HOME", directory).current_dir(directory);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // How it ends does not matter: without its tools it may well fail.
    shell.status().unwrap();
}

#[test]
fn the_trap_works() {
    let directory = tempfile::tempdir().unwrap();
    let pwned = directory.path().join("pwned");
    let hostile = HOSTILE[2].replace("PWNED", &pwned.to_string_lossy());
    let open = Run {
        script: format!("missing\necho {hostile}"),
        ..runs("strip", &[], &Library::new([])).unwrap().swap_remove(0)
    };
    run(&open, directory.path());
    assert!(pwned.exists());
}

#[test]
fn no_text_of_an_input_becomes_shell() {
    let library = Library::new([]);
    let mut tried = 0;
    for name in names() {
        let definition = library.find(&name).unwrap().unwrap();
        let inputs = &definition.step.inputs;
        let required: Vec<(&str, &str)> =
            inputs.iter().filter(|(_, input)| input.required).map(|(name, _)| (name.as_str(), "x")).collect();
        for (input, written) in inputs.iter().filter(|(_, input)| !input.description.contains(SHELL)) {
            for hostile in HOSTILE {
                let directory = tempfile::tempdir().unwrap();
                let pwned = directory.path().join("pwned");
                let hostile = hostile.replace("PWNED", &pwned.to_string_lossy());
                let mut given = required.clone();
                given.retain(|(name, _)| *name != input.as_str());
                given.push((input.as_str(), &hostile));
                let Some(runs) = runs(&name, &given, &library) else {
                    assert!(input.starts_with("expected-"), "{name} refuses {input}: {written:?}");
                    continue;
                };
                for step in &runs {
                    run(step, directory.path());
                }
                assert!(!pwned.exists(), "{name}: {input} becomes shell");
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "only {tried} were tried");
}
