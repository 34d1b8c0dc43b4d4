//! Compiles several build files on all processors.

use std::{
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

use super::Options;
use crate::{
    compile::{self, Recipe},
    exit::Failure,
    manifest::{self, Diagnostic, Diagnostics},
    pipelines::Library,
};

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

fn one(file: &Path, settings: &compile::Options<'_>, library: &Library) -> Result<Recipe, Diagnostics> {
    compile::compile(&manifest::load(file)?, settings, library)
}

/// The printed line for one of several files.
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
