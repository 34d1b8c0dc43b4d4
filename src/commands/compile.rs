//! `kiln compile`: prints compiled build files as JSON; several of them in parallel, one object a line.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::Context;
use serde::Serialize;

use super::bash::Bash;
use crate::{
    compile::{self, Arch, Libc, Recipe, env_file, explain::Explanation},
    ecosystem::Ecosystem,
    exit::Failure,
    manifest::{self, Diagnostic, Diagnostics, Map, Source, file},
    pipelines::Library,
};

/// What the command line says, flag by flag.
#[derive(Debug, Clone)]
pub struct Options {
    /// The build files; at least one.
    pub files: Vec<PathBuf>,
    /// `--arch`.
    pub arch: Arch,
    /// `--pipeline-dir`, then `--pipeline-dirs`.
    pub pipeline_dirs: Vec<PathBuf>,
    /// `--build-option`.
    pub build_options: Vec<String>,
    /// `--vars-file`.
    pub vars_file: Option<PathBuf>,
    /// `--env-file`.
    pub env_files: Vec<PathBuf>,
    /// `--override-host-triplet-libc-substitution-flavor`.
    pub libc: Libc,
    /// `--package-append`.
    pub packages: Vec<String>,
    /// `--cache-also`.
    pub cache_also: Vec<&'static Ecosystem>,
    /// `--git-commit`; may be empty.
    pub commit: String,
}

impl Options {
    /// One architecture and some files, everything else as it comes.
    pub fn new(arch: Arch, files: Vec<PathBuf>) -> Self {
        Self {
            files,
            arch,
            pipeline_dirs: Vec::new(),
            build_options: Vec::new(),
            vars_file: None,
            env_files: Vec::new(),
            libc: Libc::default(),
            packages: Vec::new(),
            cache_also: Vec::new(),
            commit: String::new(),
        }
    }

    /// What the compiler wants to know, the files of variables read.
    ///
    /// # Errors
    /// A file of variables that cannot be read or is none (3).
    pub fn resolve(&self) -> anyhow::Result<compile::Options<'static>> {
        let vars = match &self.vars_file {
            Some(path) => vars_file(path).map_err(Failure::from)?,
            None => Map::new(),
        };
        let env = self.env_files.iter().map(|path| env_file(path)).collect::<Result<_, Diagnostics>>();
        Ok(compile::Options {
            arch: self.arch,
            libc: self.libc,
            build_options: self.build_options.clone(),
            vars,
            env: env.map_err(Failure::from)?,
            packages: self.packages.clone(),
            cache_also: self.cache_also.clone(),
            commit: self.commit.clone(),
            opinion: &Bash,
        })
    }
}

fn vars_file(path: &Path) -> Result<Map, Diagnostics> {
    let source = Source::new(path, &file::read(path)?);
    manifest::parse_map(&source.text, &source)
}

fn env_file(path: &Path) -> Result<BTreeMap<String, String>, Diagnostics> {
    Ok(env_file::parse(&Source::new(path, &file::read(path)?))?)
}

/// Compiles and prints: a single file as a bare object, several as one object a line, in the order of the command line.
/// Warnings go to `notes`, one a call.
///
/// # Errors
/// An invalid file (3): the first one where it is the only one, else how many, after all lines are printed.
pub fn run(options: &Options, out: &mut dyn Write, notes: &mut dyn FnMut(&Diagnostic)) -> anyhow::Result<()> {
    let settings = options.resolve()?;
    let library = Library::new(options.pipeline_dirs.iter().cloned());
    if let [file] = options.files.as_slice() {
        let recipe = one(file, &settings, &library).map_err(Failure::from)?;
        recipe.warnings.iter().for_each(notes);
        return writeln!(out, "{}", recipe.to_json()).context("write the compiled file");
    }
    let mut invalid = 0;
    for line in many(&options.files, &settings, &library) {
        out.write_all(line.text.as_bytes()).context("write the compiled files")?;
        line.warnings.iter().for_each(&mut *notes);
        invalid += usize::from(!line.valid);
    }
    if invalid > 0 {
        let what = format!("{invalid} of {} build files are invalid", options.files.len());
        return Err(Failure::build_file(what, "their lines say why").into());
    }
    Ok(())
}

/// The recipe of one file, which is read already.
///
/// # Errors
/// An invalid file (3).
pub(super) fn recipe(manifest: &manifest::Manifest, options: &Options) -> anyhow::Result<Recipe> {
    let library = Library::new(options.pipeline_dirs.iter().cloned());
    Ok(compile::compile(manifest, &options.resolve()?, &library).map_err(Failure::from)?)
}

/// Why the recipe of one file, which is read already, is what it is.
///
/// # Errors
/// An invalid file (3).
pub fn explain(manifest: &manifest::Manifest, options: &Options) -> anyhow::Result<Explanation> {
    let library = Library::new(options.pipeline_dirs.iter().cloned());
    let settings = options.resolve()?;
    let recipe = compile::compile(manifest, &settings, &library).map_err(Failure::from)?;
    Ok(compile::explain::explain(manifest, &settings, &library, &recipe))
}

fn one(file: &Path, settings: &compile::Options<'_>, library: &Library) -> Result<Recipe, Diagnostics> {
    compile::compile(&manifest::load(file)?, settings, library)
}

/// What is printed for one of several files.
struct Line {
    text: String,
    warnings: Vec<Diagnostic>,
    valid: bool,
}

/// Compiles on all processors; the lines come in the order of the files.
fn many(files: &[PathBuf], settings: &compile::Options<'_>, library: &Library) -> Vec<Line> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(files.len());
        for _ in 0..threads {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                while let Some((index, file)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|index| files.get(index).map(|file| (index, file)))
                {
                    if sender.send((index, line(file, one(file, settings, library)))).is_err() {
                        return;
                    }
                }
            });
        }
    });
    drop(sender);
    let mut lines: Vec<(usize, Line)> = receiver.into_iter().collect();
    lines.sort_by_key(|(index, _)| *index);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn line(file: &Path, compiled: Result<Recipe, Diagnostics>) -> Line {
    #[derive(Serialize)]
    struct Compiled<'l> {
        file: std::borrow::Cow<'l, str>,
        config: &'l Recipe,
    }
    #[derive(Serialize)]
    struct Invalid<'l> {
        file: std::borrow::Cow<'l, str>,
        error: String,
        line: u32,
        column: u32,
    }
    let json = |text: serde_json::Result<String>| {
        text.expect("strings, numbers, lists and maps with text keys are all JSON") + "\n"
    };
    let file = file.to_string_lossy();
    match compiled {
        Ok(recipe) => {
            let text = json(serde_json::to_string(&Compiled { file, config: &recipe }));
            Line { text, warnings: recipe.warnings, valid: true }
        }
        Err(faults) => {
            let (line, column) = faults.0.first().map_or((0, 0), |fault| (fault.line, fault.column));
            let error = faults.0.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ");
            let text = json(serde_json::to_string(&Invalid { file, error, line, column }));
            Line { text, warnings: Vec::new(), valid: false }
        }
    }
}
