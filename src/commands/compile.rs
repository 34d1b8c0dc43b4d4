//! `kiln compile`: prints compiled build files as JSON.

mod files;
mod options;

use anyhow::{Context, Result};

pub use files::run;
pub use options::Options;

use super::recipe::{architectures, options};
use crate::{
    cli::CompileArgs,
    compile::{self, Recipe, explain::Explanation},
    exit::{Code, Failure},
    manifest,
    pipelines::Library,
    report,
};

/// Compiles the files of the command line.
pub(super) fn print(args: &CompileArgs) -> Result<Code> {
    let asked = architectures(&args.recipe)?;
    let [arch] = asked.as_slice() else {
        return Err(Failure::usage("compile takes one architecture", "name one with --arch").into());
    };
    let mut out = Vec::new();
    let mut warnings = Vec::new();
    let options = options(&args.recipe, args.files.clone(), *arch)?;
    let done = run(&options, &mut out, &mut |warning| {
        warnings.push(anyhow::anyhow!("{warning}"));
    });
    report::print(&String::from_utf8(out).context("JSON is UTF-8")?)?;
    warnings.iter().for_each(report::error);
    done.map(|()| Code::Success)
}

/// The recipe of one file, which is read already.
///
/// # Errors
/// An invalid file (3).
pub(super) fn recipe_of(manifest: &manifest::Manifest, options: &Options) -> Result<Recipe> {
    let library = Library::new(options.pipeline_dirs.iter().cloned());
    Ok(compile::compile(manifest, &options.resolve()?, &library).map_err(Failure::from)?)
}

/// Why the recipe of one file, which is read already, is what it is.
///
/// # Errors
/// An invalid file (3).
pub fn explain(manifest: &manifest::Manifest, options: &Options) -> Result<Explanation> {
    let library = Library::new(options.pipeline_dirs.iter().cloned());
    let settings = options.resolve()?;
    let recipe = compile::compile(manifest, &settings, &library).map_err(Failure::from)?;
    Ok(compile::explain::explain(manifest, &settings, &library, &recipe))
}
