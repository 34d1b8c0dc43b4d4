//! The options of the compiler.

use std::path::PathBuf;

use crate::{
    cli::RecipeArgs,
    commands::compile::Options,
    compile::Arch,
    ecosystem::{Ecosystem, Scope},
    exit::Failure,
};

/// The options of the command line, for these files and one architecture.
pub(in crate::commands) fn options(
    args: &RecipeArgs,
    files: Vec<PathBuf>,
    arch: Arch,
) -> Result<Options, Failure> {
    let pipeline_dirs: Vec<PathBuf> = args.pipeline_dir.iter().chain(&args.pipeline_dirs).cloned().collect();
    if let Some(missing) = pipeline_dirs.iter().find(|directory| !directory.is_dir()) {
        let what = format!("--pipeline-dir: {} is not a directory", missing.display());
        return Err(Failure::usage(what, "name a directory of pipeline definitions (NAME.yaml)"));
    }
    Ok(Options {
        pipeline_dirs,
        build_options: args.build_option.clone(),
        vars_file: args.vars_file.clone(),
        env_files: args.env_file.clone(),
        libc: args.override_host_triplet_libc_substitution_flavor,
        packages: args.package_append.clone(),
        cache_also: cache_also(&args.cache_also),
        commit: args.git_commit.clone().unwrap_or_default(),
        ..Options::new(arch, files)
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
