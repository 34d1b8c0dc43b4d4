//! Any text as a condition, as a script with variables, and as a pattern with its text and replacement: it is compiled or
//! refused.
#![no_main]

use std::path::Path;

use kiln::{
    compile::{self, Arch, Options},
    manifest,
    pipelines::Library,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str, &str, &str, &str)| {
    let quoted = |text: &str| serde_json::to_string(text).expect("text is JSON");
    let (condition, script) = (quoted(texts.0), quoted(texts.1));
    let (pattern, from, replace) = (quoted(texts.2), quoted(texts.3), quoted(texts.4));
    let file = format!(
        "package: {{name: p, version: '1', epoch: 0}}\n\
         var-transforms: [{{from: {from}, match: {pattern}, replace: {replace}, to: t}}]\n\
         pipeline: [{{if: {condition}, runs: {script}}}]\n"
    );
    let Ok(manifest) = manifest::parse(&file, Path::new("fuzz.yaml")) else { return };
    if let Ok(recipe) = compile::compile(&manifest, &Options::new(Arch::X86_64), &Library::new([])) {
        drop((recipe.package_steps(), recipe.to_json()));
    }
});
