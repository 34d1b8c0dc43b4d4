//! Checks of options against each other and against the directories that they name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    cli::MachineArgs,
    exit::Failure,
    plan::{AcceleratorOption, CacheModeOption, RunnerKind, StartOption},
};

/// Refuses contradictions between the options of the cache.
pub(super) fn cache(args: &MachineArgs, cache: Option<&Path>, source: Option<&Path>) -> Result<(), Failure> {
    if cache.is_none() && (args.cache_mode != CacheModeOption::Auto || args.cache_sharing.is_some()) {
        let flag = if args.cache_sharing.is_some() { "--cache-sharing" } else { "--cache-mode" };
        let what = format!("{flag} is given, and --cache-dir \"\" says that there is no cache");
        return Err(Failure::usage(what, format!("leave {flag} out, or name a directory for the cache")));
    }
    if cache.is_some() && cache == source {
        return Err(Failure::usage(
            format!(
                "--cache-dir: {} is the source directory itself",
                cache.unwrap_or(Path::new(".")).display()
            ),
            "name a directory of its own for the cache, such as ./melange-cache",
        ));
    }
    Ok(())
}

/// Refuses options that only another backend follows.
pub(super) fn backend(args: &MachineArgs, runner: RunnerKind) -> Result<(), Failure> {
    if runner == RunnerKind::Qemu {
        return Ok(());
    }
    let given = [
        ("--virtiofsd", args.virtiofsd.is_some()),
        ("--source-share", args.source_share.is_some()),
        ("--accel", args.accel != AcceleratorOption::Auto),
        ("--start", args.start != StartOption::Auto),
        ("--cpumodel", args.cpumodel.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Failure::usage(
            format!("{flag} is for microVMs, and --runner {} makes none", runner.name()),
            format!("leave {flag} out, or use --runner qemu"),
        )),
        None => Ok(()),
    }
}

/// What the workspace is filled with.
pub(super) enum Source {
    /// A directory, which exists and can be read.
    Directory(PathBuf),
    /// Nothing: `--empty-workspace`.
    Nothing,
    /// Nothing, since the directory of `--source-dir` does not exist. melange's workspace is empty, too.
    Missing(PathBuf),
}

/// The source directory.
pub(super) fn source(args: &MachineArgs, file: &Path) -> Result<Source> {
    if args.empty_workspace {
        return Ok(Source::Nothing);
    }
    if let Some(directory) =
        args.source_dir.as_ref().filter(|directory| fs::symlink_metadata(directory).is_err())
    {
        return Ok(Source::Missing(directory.clone()));
    }
    let directory = match &args.source_dir {
        Some(directory) => directory.clone(),
        None => {
            file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
        }
    };
    let found = fs::canonicalize(&directory).ok().filter(|path| path.is_dir()).ok_or_else(|| {
        Failure::usage(
            format!("--source-dir: {} is not a directory", directory.display()),
            "name one that exists",
        )
    })?;
    match fs::read_dir(&found) {
        Ok(_) => Ok(Source::Directory(found)),
        Err(error) => Err(Failure::usage(
            format!("--source-dir: {} cannot be read: {error}", directory.display()),
            "make it readable for this user, name another one, or use --empty-workspace",
        )
        .into()),
    }
}
