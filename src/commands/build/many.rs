//! Several build files: in the order of their needs, several at once, and each once even if kiln was interrupted.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    cli::{BuildArgs, RecipeArgs},
    commands::{
        jobs::{JobCommand, Jobs, job_option, with_options},
        recipe, signals,
    },
    compile::Recipe,
    env::Env,
    event::{Event, Sink},
    exit::{Code, Failure},
    home::Home,
    jobs::{Definition, Graph, Job, Journal, Schedule},
    manifest::{Dependencies, Text},
    plan::PackageFormat,
    process::Spawner,
    report::{self, Progress},
};

/// The endings of build files in a directory.
const ENDINGS: [&str; 2] = ["yaml", "yml"];

/// Builds all, and reports the results; returns the exit code.
pub(super) async fn run(args: &BuildArgs, env: &Env) -> Result<Code> {
    if args.interactive {
        return Err(Failure::usage("-i: there are several build files", "name one build file").into());
    }
    if args.machine.repositories.lock.is_some() {
        let what = "--lock: there are several build files, and each has a root of its own";
        return Err(Failure::usage(what, "lock one build file at a time").into());
    }
    let mut notes = |event: Event| {
        if let Event::Note { text } = event
            && !matches!(args.progress, Progress::Json | Progress::Quiet)
        {
            report::to_stderr(&text);
        }
    };
    let graph = graph(&args.files, &args.recipe, &mut notes)?;
    let order = graph.order();
    // The jobs are in their order from here on.
    let place = |index: usize| order.iter().position(|other| *other == index).unwrap_or(index);
    let needs = order.iter().map(|index| graph.needs()[*index].iter().map(|need| place(*need)).collect());
    let mut schedule = Schedule::new(needs.collect(), (0..order.len()).collect());
    let words: Vec<OsString> = env::args_os().collect();
    let commands = commands(&graph, &order, &words);
    let mut journal = journal(&graph, &words, env)?;
    if args.rebuild {
        journal.forget()?;
    }
    // A package that was removed since is built again.
    let is_there =
        |index: usize| args.machine.out_dir.join(artifact(&graph.definitions()[index], args)).exists();
    let finished = commands.iter().zip(&order).enumerate();
    let finished =
        finished.filter(|(_, (command, index))| journal.has(&command.job.name) && is_there(**index));
    finished.for_each(|(at, _)| schedule.end(at, true));
    let spawner = Spawner::start()?;
    let outcome = signals::guard(async |interrupts| {
        let jobs = Jobs { spawner: &spawner, interrupts, at_once: args.jobs, progress: args.progress };
        jobs.run(&commands, schedule, |job| journal.record(&job.name)).await
    });
    let outcome = outcome.await?;
    spawner.finish()?;
    let code = outcome.code();
    if code == Code::Success {
        journal.complete()?;
    }
    match args.progress {
        Progress::Json => {}
        Progress::Quiet if code == Code::Success => {}
        _ => report::to_stderr(outcome.text("builds").trim_end()),
    }
    Ok(code)
}

/// Where the main package of a build lies in the directory of packages.
fn artifact(definition: &Definition, args: &BuildArgs) -> PathBuf {
    let ending = match args.package.format {
        PackageFormat::Apk => "apk",
        PackageFormat::TarZst => "tar.zst",
    };
    let mut path = definition.artifact.clone().into_os_string();
    path.push(format!(".{ending}"));
    path.into()
}

/// The command line of each build, in their order.
fn commands(graph: &Graph, order: &[usize], words: &[OsString]) -> Vec<JobCommand> {
    let command = |index: &usize| {
        let Definition { file, id, .. } = &graph.definitions()[*index];
        let job = Job { name: id.clone(), file: file.display().to_string() };
        let mut options = vec![job_option(file.as_os_str())];
        if !graph.needs()[*index].is_empty() {
            options.push("--needs-built".into());
        }
        JobCommand { job, arguments: with_options(words, "build", options) }
    };
    order.iter().map(command).collect()
}

/// The graph of build files and of the directories with build files.
///
/// # Errors
/// A directory without build files, an invalid build file, builds that need each other.
pub(in crate::commands) fn graph(paths: &[PathBuf], args: &RecipeArgs, sink: &mut dyn Sink) -> Result<Graph> {
    let (mut definitions, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        for file in files(path)? {
            // A directory and a file in it may both be named.
            let place = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            if !seen.insert(place) {
                continue;
            }
            if let Some(recipe) = recipe::load(&file, args, sink)? {
                definitions.push(definition(file, &recipe));
            }
        }
    }
    Ok(Graph::new(definitions)?)
}

/// The build files of a path: the file itself, or those of the directory, sorted by name.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        let file = entry.with_context(|| format!("read {}", path.display()))?.path();
        let is_hidden = file.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        let ending = file.extension().and_then(|ending| ending.to_str());
        if !is_hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending)) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        let what = format!("{}: there is no build file", path.display());
        return Err(Failure::usage(what, "name a directory with files NAME.yaml, or build files").into());
    }
    Ok(files)
}

fn definition(file: PathBuf, recipe: &Recipe) -> Definition {
    let strings = |list: &[Text]| list.iter().map(ToString::to_string).collect::<Vec<String>>();
    let subpackages = || recipe.subpackages.iter().filter(|sub| sub.condition.holds());
    let dependencies =
        || [&recipe.package.dependencies].into_iter().chain(subpackages().map(|sub| &sub.dependencies));
    let all = |of: fn(&Dependencies) -> &[Text]| dependencies().flat_map(|one| strings(of(one))).collect();
    let names = [recipe.package.name.to_string()].into_iter();
    let build_needs = strings(&recipe.environment.contents.packages);
    let id = format!("{}-{}", recipe.package.name, recipe.package.full_version());
    Definition {
        artifact: Path::new(recipe.arch.apk()).join(&id),
        id,
        packages: names.chain(subpackages().map(|sub| sub.name.to_string())).collect(),
        provides: all(|dependencies| &dependencies.provides),
        build_needs: build_needs.into_iter().chain(recipe.appended_packages.clone()).collect(),
        runtime_needs: all(|dependencies| &dependencies.runtime),
        file,
    }
}

/// The journal of this command on these files: another command line, directory or content is another run.
fn journal(graph: &Graph, words: &[OsString], env: &Env) -> Result<Journal> {
    let directory = env::current_dir().context("find the working directory")?;
    let mut parts: Vec<Vec<u8>> = vec![directory.as_os_str().as_bytes().to_vec()];
    // `--rebuild` is not part of what is built.
    let words = words.iter().skip(1).filter(|word| *word != "--rebuild");
    parts.extend(words.map(|word| word.as_bytes().to_vec()));
    for Definition { file, .. } in graph.definitions() {
        parts.push(file.as_os_str().as_bytes().to_vec());
        parts.push(fs::read(file).with_context(|| format!("read {}", file.display()))?);
    }
    Journal::open(&Home::find(env)?.dir("jobs")?, &parts)
}
