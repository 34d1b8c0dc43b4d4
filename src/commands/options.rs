//! Flags and environment -> [`BuildOptions`]: flags win over variables, those over defaults; paths become absolute here.

mod checks;
mod packaging;

use std::{
    ops::RangeInclusive,
    path::{Path, absolute},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    build::source,
    cache,
    cli::{MachineArgs, RepositoryArgs},
    env::Env,
    exit::Failure,
    plan::{
        BuildOptions, BuiltPackages, CacheModeOption, InsecureRepositories, PackagingOptions,
        RepositoryOptions, Trace, VirtiofsOption, check_memory,
    },
};

pub(super) use packaging::{exposed_key, packaging};

/// The default of `--cache-dir`.
pub(super) const DEFAULT_CACHE: &str = "./melange-cache/";

/// The options of `args` and `env`. `file` is the build file: its directory is the default source.
pub(super) fn options(args: &MachineArgs, env: &Env, file: &Path) -> Result<BuildOptions> {
    let out_dir = absolute(&args.out_dir).context("resolve --out-dir")?;
    let cache_dir = cache::locate(args.cache_dir.as_deref().unwrap_or(DEFAULT_CACHE))?;
    let (source, missing_source) = match checks::source(args, file)? {
        checks::Source::Directory(directory) => (Some(directory), None),
        checks::Source::Nothing => (None, None),
        checks::Source::Missing(directory) => (None, Some(directory)),
    };
    checks::cache(args, cache_dir.as_deref(), source.as_deref())?;
    let host_settings = super::host_settings::host_settings(args, env)?;
    let hidden = match &source {
        Some(source) => {
            let ours =
                [&*out_dir].into_iter().chain(cache_dir.as_deref()).chain(host_settings.secret_files());
            source::hidden(source, ours)?
        }
        None => Vec::new(),
    };
    let runner = args.runner;
    checks::backend(args, runner)?;
    Ok(BuildOptions {
        build_file: file.to_owned(),
        runner,
        accelerator: args.accel,
        start: args.start,
        image: args.image.clone(),
        insecure_repositories: match args.allow_insecure_repositories {
            true => InsecureRepositories::Allowed,
            false => InsecureRepositories::Refused,
        },
        repositories: repositories(&args.repositories)?,
        source,
        missing_source,
        source_share: args.source_share.unwrap_or_default(),
        hidden,
        cache_dir,
        cache_mode: args.cache_mode,
        cache_sharing: args.cache_sharing,
        virtiofs: virtiofs(args, env)?,
        request_queues: None,
        out_dir,
        packaging: PackagingOptions::default(),
        memory: args.memory.map(|size| check_memory(size, runner)).transpose()?,
        cpus: args.cpu,
        cpu_model: args.cpumodel.clone(),
        disk: args.disk,
        granted: args.allow_capability.iter().copied().collect(),
        network: args.network,
        host_loopback: args.host_loopback,
        trace: if args.debug { Trace::On } else { Trace::Off },
        boot_timeout: time_limit(args.boot_timeout),
        step_timeout: time_limit(args.step_timeout),
        timeout: time_limit(args.timeout),
        source_date_epoch: source_date_epoch(args, env)?,
        host_settings,
        slirp: super::host_settings::slirp(env)?,
        kernel_arguments: env.text("QEMU_KERNEL_CMDLINE")?.unwrap_or_default(),
    })
}

fn repositories(args: &RepositoryArgs) -> Result<RepositoryOptions> {
    let RepositoryArgs {
        keyring_append,
        repository_append,
        ignore_signatures,
        solver,
        apk_cache_dir,
        lock,
        locked,
    } = args;
    Ok(RepositoryOptions {
        append: repository_append.clone(),
        keyring: keyring_append.clone(),
        ignore_signatures: *ignore_signatures,
        solver: *solver,
        cache: apk_cache_dir.as_ref().map(absolute).transpose().context("resolve --apk-cache-dir")?,
        lock: lock.as_ref().map(absolute).transpose().context("resolve --lock")?,
        locked: locked.as_ref().map(absolute).transpose().context("resolve --locked")?,
        built: BuiltPackages::Unneeded,
    })
}

/// Naming a server switches virtiofs on; else `QEMU_USE_VIRTIOFS` decides. Where neither is there, a cache that the build writes
/// straight into comes by kiln's own device.
fn virtiofs(args: &MachineArgs, env: &Env) -> Result<VirtiofsOption> {
    let named = match args.virtiofsd {
        Some(option) => Some(option),
        None => env.text(VIRTIOFSD)?.map(|name| virtiofsd(&name)).transpose()?,
    };
    Ok(match (named, env.bool("QEMU_USE_VIRTIOFS")?) {
        (Some(option), _) => option,
        (None, Some(true)) => VirtiofsOption::Spawned,
        (None, Some(false)) => VirtiofsOption::Off,
        (None, None) => match args.cache_mode {
            CacheModeOption::Rw => VirtiofsOption::Embedded,
            CacheModeOption::Auto
            | CacheModeOption::Discard
            | CacheModeOption::Commit
            | CacheModeOption::Ro => VirtiofsOption::Off,
        },
    })
}

/// The variable that names a server as `--virtiofsd` does.
const VIRTIOFSD: &str = "KILN_VIRTIOFSD";

fn virtiofsd(name: &str) -> Result<VirtiofsOption, Failure> {
    VirtiofsOption::from_str(name, false).map_err(|_| {
        Failure::usage(
            format!("{VIRTIOFSD}={name} is no server of virtiofs"),
            "Write spawned or embedded, or unset it.",
        )
    })
}

/// A limit of 0 is none.
fn time_limit(limit: Option<Duration>) -> Option<Duration> {
    limit.filter(|limit| !limit.is_zero())
}

/// The seconds of the years 0 to 9999: the range of RFC 3339, which tools such as `date` and Python can read.
const BUILD_DATES: RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// `SOURCE_DATE_EPOCH` (seconds), else `--build-date` (RFC 3339), else 0.
fn source_date_epoch(args: &MachineArgs, env: &Env) -> Result<i64> {
    if let Some(text) = env.text("SOURCE_DATE_EPOCH")? {
        let seconds = text.parse().ok().filter(|seconds| BUILD_DATES.contains(seconds));
        return seconds.ok_or_else(|| {
            Failure::usage(
                format!("SOURCE_DATE_EPOCH: {text:?} is not a number of seconds of the years 0 to 9999"),
                "unset it, or write seconds since 1970",
            )
            .into()
        });
    }
    Ok(args.build_date.unwrap_or_default())
}
