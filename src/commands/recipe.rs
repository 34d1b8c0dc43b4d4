//! A build file on the command line -> its recipe: which file, for which architecture, with which definitions.

mod architectures;
mod commit;
mod options;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(super) use architectures::{architectures, buildable};
pub(super) use options::options;

use super::{compile, explain};
use crate::{
    cli::RecipeArgs,
    compile::{Arch, Recipe, is_valid_version, serves},
    engine::Interrupts,
    event::{Event, Sink},
    exit::Failure,
    manifest::{self, Diagnostics, Source, Text},
};

/// The build files that melange looks for where none is named.
const DEFAULT_FILES: [&str; 4] = [".melange.yaml", ".melange.yml", "melange.yaml", "melange.yml"];

/// The build file: the one named, or the first of the default names.
pub(super) fn file(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.is_file()).ok_or_else(|| {
        let names = DEFAULT_FILES.join(", ");
        let way_out = format!("name a build file; where none is named, one of these is taken: {names}");
        Failure::usage("melange.yaml is missing", way_out)
    })
}

/// [`load`] that a signal ends: a build file may be a pipe without a writer.
pub(super) async fn load_unless(
    interrupts: &mut Interrupts,
    file: &Path,
    args: &RecipeArgs,
    sink: &mut dyn Sink,
) -> Result<Option<Recipe>> {
    let (file, args) = (file.to_owned(), args.clone());
    let loading = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        let recipe = load(&file, &args, &mut |event| said.push(event));
        (recipe, said)
    });
    let (recipe, said) = tokio::select! {
        biased;
        // The reader goes with kiln.
        error = interrupts.refuse() => return Err(error),
        loaded = loading => loaded.context("the reader of the build file panicked")?,
    };
    said.into_iter().for_each(|event| sink.emit(event));
    recipe
}

/// The recipe of a build file; `None`, and a note, when it is for none of the architectures asked for.
pub(super) fn load(file: &Path, args: &RecipeArgs, sink: &mut dyn Sink) -> Result<Option<Recipe>> {
    Ok(load_with_source(file, args, sink)?.map(|(recipe, _)| recipe))
}

/// [`load`], with the source for the places of faults.
pub(super) fn load_with_source(
    file: &Path,
    args: &RecipeArgs,
    sink: &mut dyn Sink,
) -> Result<Option<(Recipe, Source)>> {
    let manifest = manifest::load(file).map_err(Failure::from)?;
    let (asked, skipped): (Vec<Arch>, Vec<Arch>) =
        architectures(args)?.into_iter().partition(|arch| serves(&manifest.package, *arch));
    for arch in skipped {
        sink.emit(Event::Note {
            text: format!("skipping arch {}: target-architecture does not name it", arch.apk()),
        });
    }
    if asked.is_empty() {
        let text = "target-architecture and --arch do not overlap, nothing to build".into();
        sink.emit(Event::Note { text });
        return Ok(None);
    }
    let options = options(args, vec![file.to_owned()], buildable(&asked)?)?;
    let options = compile::Options { commit: commit(file, args), ..options };
    let recipe = compile::recipe_of(&manifest, &options)?;
    for warning in manifest.notes.iter().chain(&recipe.warnings) {
        sink.emit(Event::Note { text: warning.to_string() });
    }
    check_version(&recipe.package.version, &manifest.source)?;
    recipe.check_assertions()?;
    Ok(Some((recipe, manifest.source)))
}

/// The commit of a build file: the one named, or that of its repository.
pub(super) fn commit(file: &Path, args: &RecipeArgs) -> String {
    let named = args.git_commit.clone().filter(|commit| !commit.is_empty());
    named.or_else(|| commit::of_file(file)).unwrap_or_else(|| commit::UNKNOWN.into())
}

/// Refuses a version that no package can have before anything is built.
fn check_version(version: &Text, source: &Source) -> Result<(), Failure> {
    if is_valid_version(version) {
        return Ok(());
    }
    let message = format!("`{version}` is not a version that apk can read");
    let hint =
        "numbers with dots, then perhaps a letter or suffixes, such as 1.2.3, 9e, 1.2_rc1, 0_git20240101";
    Err(Diagnostics::from(source.diagnostic(version.position, message).hint(hint)).into())
}

/// The explanation of a recipe, for the first architecture that it is for; `None` where there is none.
pub(super) fn explain(file: &Path, args: &RecipeArgs) -> Result<Option<String>> {
    let manifest = manifest::load(file).map_err(Failure::from)?;
    let Some(arch) = architectures(args)?.into_iter().find(|arch| serves(&manifest.package, *arch)) else {
        return Ok(None);
    };
    let options = options(args, vec![file.to_owned()], arch)?;
    Ok(Some(explain::describe(&compile::explain(&manifest, &options)?)))
}
