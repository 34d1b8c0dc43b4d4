//! A build file on the command line -> its recipe: which file, for which architecture, with which definitions.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{compile, explain};
use crate::{
    cli::{ArchOption, CompileArgs, RecipeArgs},
    compile::{Arch, Recipe, is_valid_version, serves},
    ecosystem::{Ecosystem, Scope},
    engine::Interrupts,
    event::{Event, Sink},
    exit::{Code, Failure},
    manifest::{self, Diagnostics, Source, Text},
    report,
};

/// What melange looks for where no file is named.
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

/// The architectures asked for, those of the build file left; none when they do not overlap.
pub(super) fn architectures(args: &RecipeArgs) -> Result<Vec<Arch>, Failure> {
    let host = || {
        Arch::host().ok_or_else(|| {
            Failure::host("kiln does not know this machine's architecture", "name one with --arch")
        })
    };
    if args.arch.is_empty() {
        return Ok(vec![host()?]);
    }
    let mut all = Vec::new();
    for option in &args.arch {
        match option {
            ArchOption::Host => all.push(host()?),
            ArchOption::All => all.extend(Arch::ALL),
            ArchOption::One(arch) => all.push(*arch),
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The one architecture of a build: guests run on the host's own.
pub(super) fn buildable(asked: &[Arch]) -> Result<Arch, Failure> {
    let host = Arch::host();
    let foreign: Vec<&str> =
        asked.iter().filter(|arch| Some(**arch) != host).map(|arch| arch.apk()).collect();
    match (asked, foreign.as_slice()) {
        ([arch], []) if *arch == Arch::X86_64 => Ok(*arch),
        ([arch], []) => Err(Failure::host(
            format!("kiln's microVM is x86-64's: {} hosts are not supported yet", arch.apk()),
            "build on an x86_64 host",
        )),
        _ => Err(Failure::usage(
            format!("--arch: guests of another architecture are not supported yet: {}", foreign.join(", ")),
            "leave --arch out, and build on a host of that architecture",
        )),
    }
}

/// What the command line says of compiling, for these files and one architecture.
pub(super) fn options(
    args: &RecipeArgs,
    files: Vec<PathBuf>,
    arch: Arch,
) -> Result<compile::Options, Failure> {
    let pipeline_dirs: Vec<PathBuf> = args.pipeline_dir.iter().chain(&args.pipeline_dirs).cloned().collect();
    if let Some(missing) = pipeline_dirs.iter().find(|directory| !directory.is_dir()) {
        let what = format!("--pipeline-dir: {} is not a directory", missing.display());
        return Err(Failure::usage(what, "name a directory of pipeline definitions (NAME.yaml)"));
    }
    Ok(compile::Options {
        pipeline_dirs,
        build_options: args.build_option.clone(),
        vars_file: args.vars_file.clone(),
        env_files: args.env_file.clone(),
        libc: args.override_host_triplet_libc_substitution_flavor,
        packages: args.package_append.clone(),
        cache_also: cache_also(&args.cache_also),
        ..compile::Options::new(arch, files)
    })
}

/// Those that not every build has, each once.
fn cache_also(named: &[&'static Ecosystem]) -> Vec<&'static Ecosystem> {
    let mut also = Vec::new();
    for &found in named {
        if found.scope == Scope::OnRequest && !also.contains(&found) {
            also.push(found);
        }
    }
    also
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
    let recipe = compile::recipe(&manifest, &options)?;
    for warning in manifest.notes.iter().chain(&recipe.warnings) {
        sink.emit(Event::Note { text: warning.to_string() });
    }
    check_version(&recipe.package.version, &manifest.source)?;
    recipe.check_assertions()?;
    Ok(Some(recipe))
}

/// A version that no package can have is found before it is built.
fn check_version(version: &Text, source: &Source) -> Result<(), Failure> {
    if is_valid_version(version) {
        return Ok(());
    }
    let message = format!("`{version}` is not a version that apk can read");
    let hint =
        "numbers with dots, then perhaps a letter or suffixes, such as 1.2.3, 9e, 1.2_rc1, 0_git20240101";
    Err(Diagnostics::from(source.diagnostic(version.position, message).hint(hint)).into())
}

/// Why the recipe of a build file is what it is, for the first architecture that it is for; `None` where there is none.
pub(super) fn explain(file: &Path, args: &RecipeArgs) -> Result<Option<String>> {
    let manifest = manifest::load(file).map_err(Failure::from)?;
    let Some(arch) = architectures(args)?.into_iter().find(|arch| serves(&manifest.package, *arch)) else {
        return Ok(None);
    };
    let options = options(args, vec![file.to_owned()], arch)?;
    Ok(Some(explain::describe(&compile::explain(&manifest, &options)?)))
}

/// `kiln compile`.
pub(super) fn print(args: &CompileArgs) -> Result<Code> {
    let asked = architectures(&args.recipe)?;
    let [arch] = asked.as_slice() else {
        return Err(Failure::usage("compile takes one architecture", "name one with --arch").into());
    };
    let mut out = Vec::new();
    let mut warnings = Vec::new();
    let done = compile::run(&options(&args.recipe, args.files.clone(), *arch)?, &mut out, &mut |warning| {
        warnings.push(anyhow::anyhow!("{warning}"));
    });
    report::print(&String::from_utf8(out).context("JSON is UTF-8")?)?;
    warnings.iter().for_each(report::error);
    done.map(|()| Code::Success)
}
