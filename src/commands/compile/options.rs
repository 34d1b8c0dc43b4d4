//! The options of the compiler, flag by flag.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    commands::bash::Bash,
    compile::{self, Arch, Libc, env_file},
    ecosystem::Ecosystem,
    exit::Failure,
    manifest::{self, Diagnostics, Map, Source, file},
};

/// The options of the command line.
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
    /// One architecture and some files, with defaults for the rest.
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

    /// The settings of the compiler. Reads the files of variables.
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
