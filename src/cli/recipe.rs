//! Which build files, and how their recipes are made.

use std::{path::PathBuf, time::Duration};

use clap::{
    Args, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{
    CacheAlsoParser,
    package::line,
    values::{Checked, duration, fetch_limit},
};
use crate::{
    compile::{Arch, Libc},
    ecosystem::Ecosystem,
    exit::Failure,
    report::Progress,
    sources::FetchLimit,
};

/// An architecture, or a word for some: `--arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchOption {
    /// That of this machine.
    Host,
    /// All that there are.
    All,
    /// This one.
    One(Arch),
}

fn arch(name: &str) -> Result<ArchOption, Failure> {
    match name {
        "host" => Ok(ArchOption::Host),
        "all" => Ok(ArchOption::All),
        name => Arch::parse(name).map(ArchOption::One).ok_or_else(|| {
            let what = format!("unknown architecture: {name}");
            Failure::usage(what, "such as x86_64, aarch64, host or all")
        }),
    }
}

fn libc() -> impl TypedValueParser<Value = Libc> {
    let words = PossibleValuesParser::new(["gnu", "musl"]);
    words.map(|word| if word == "musl" { Libc::Musl } else { Libc::Gnu })
}

/// Where the variables and steps of a build file come from.
#[derive(Debug, Clone, Default, Args)]
pub struct RecipeArgs {
    /// The architecture to build for [default: the host's].
    #[arg(long, value_name = "ARCH", value_delimiter = ',', value_parser = Checked(|name, _| arch(name)))]
    pub arch: Vec<ArchOption>,
    /// Options of the build file to enable.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub build_option: Vec<String>,
    /// A directory of pipeline definitions, searched first.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub pipeline_dir: Option<PathBuf>,
    /// More directories of pipeline definitions.
    #[arg(long, value_name = "DIR", value_delimiter = ',', value_hint = ValueHint::DirPath)]
    pub pipeline_dirs: Vec<PathBuf>,
    /// A YAML map merged over the build file's `vars`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub vars_file: Option<PathBuf>,
    /// Files of NAME=VALUE lines for the environment; the build file's own wins.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub env_file: Vec<PathBuf>,
    /// The commit of the build file [default: HEAD of the repository that it lies in].
    #[arg(long, value_name = "COMMIT", value_parser = Checked(line))]
    pub git_commit: Option<String>,
    /// Packages to add to the build environment.
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    pub package_append: Vec<String>,
    /// Further tools whose caches lie in the cache directory: gocache, ccache, sccache, gradle, yarn, pnpm, bundler,
    /// cpan, r, nuget, bazel.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = CacheAlsoParser, hide_possible_values = true)]
    pub cache_also: Vec<&'static Ecosystem>,
    /// The libc of ${{host.triplet.*}}.
    #[arg(long, value_name = "gnu|musl", default_value = "gnu", value_parser = libc())]
    pub override_host_triplet_libc_substitution_flavor: Libc,
}

/// `kiln compile`.
#[derive(Debug, Args)]
pub struct CompileArgs {
    /// The build files; several give one JSON object a line.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// Whose sources to fetch, and where to.
#[derive(Debug, Args)]
pub struct UpdateCacheArgs {
    /// The build files [default: .melange.yaml, .melange.yml, melange.yaml or melange.yml].
    pub files: Vec<PathBuf>,
    /// How their recipes are made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The directory to fill, made if it is missing: the one that builds are given.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "./melange-cache/")]
    pub cache_dir: String,
    /// How long to wait while another build has the cache alone.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = Checked(duration))]
    pub cache_wait: Duration,
    /// The most that is fetched, as SIZE or SIZE,TOTAL: of one source (a file, or all that git fetches and unpacks for a
    /// repository), and of all together. A download that becomes larger is ended and removed.
    #[arg(long, value_name = "LIMIT", default_value = "16Gi,64Gi", value_parser = Checked(fetch_limit))]
    pub limit: FetchLimit,
    /// How events are shown.
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: Progress,
}
