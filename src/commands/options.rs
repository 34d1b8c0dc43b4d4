//! Flags and environment -> [`BuildOptions`]: flags win over variables, those over defaults; paths become absolute here.

use std::{
    fs,
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    build::source,
    cache::{self, CommitLimit},
    cli::MachineArgs,
    env::Env,
    exit::Failure,
    manifest::duration,
    plan::{
        self, AcceleratorOption, BuildOptions, CacheModeOption, ImageReference, InsecureRepositories,
        RunnerKind, Trace, VirtiofsOption, parse_bytes, parse_cpus, parse_disk, parse_memory,
    },
    sources::FetchLimit,
};

/// The cache where the command line names none.
pub(super) const DEFAULT_CACHE: &str = "./melange-cache/";

/// Everything that `args` and `env` ask for. `file` is the build file: its directory is the default source.
pub(super) fn options(args: &MachineArgs, env: &Env, file: &Path) -> Result<BuildOptions> {
    let out_dir = absolute(&args.out_dir).context("resolve --out-dir")?;
    let cache_dir = cache::locate(args.cache_dir.as_deref().unwrap_or(DEFAULT_CACHE))?;
    let source = source(args, file)?;
    check_cache(args, cache_dir.as_deref(), source.as_deref())?;
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
    check_backend(args, runner)?;
    Ok(BuildOptions {
        build_file: file.to_owned(),
        runner,
        accelerator: args.accel,
        image: args.image.as_deref().map(ImageReference::parse).transpose()?,
        insecure_repositories: match args.allow_insecure_repositories {
            true => InsecureRepositories::Allowed,
            false => InsecureRepositories::Refused,
        },
        source,
        hidden,
        cache_dir,
        cache_mode: args.cache_mode,
        cache_sharing: args.cache_sharing,
        virtiofs: virtiofs(args, env)?,
        out_dir,
        memory: args.memory.as_deref().map(|text| parse_memory(text, runner)).transpose()?,
        cpus: args.cpu.as_deref().map(|text| parse_cpus(text, "--cpu")).transpose()?,
        cpu_model: args.cpumodel.clone(),
        disk: args.disk.as_deref().map(parse_disk).transpose()?,
        granted: plan::granted(&args.allow_capability)?,
        network: args.network,
        host_loopback: args.host_loopback,
        trace: if args.debug { Trace::On } else { Trace::Off },
        boot_timeout: time_limit("--boot-timeout", args.boot_timeout.as_deref())?,
        step_timeout: time_limit("--step-timeout", args.step_timeout.as_deref())?,
        timeout: time_limit("--timeout", args.timeout.as_deref())?,
        source_date_epoch: source_date_epoch(args, env)?,
        host_settings,
        slirp: super::host_settings::slirp(env)?,
        kernel_arguments: env.text("QEMU_KERNEL_CMDLINE")?.unwrap_or_default(),
    })
}

/// `--cache-wait`.
pub(super) fn cache_wait(text: &str) -> Result<Duration, Failure> {
    duration::parse(text).ok_or_else(|| {
        Failure::usage(
            format!("--cache-wait: {text:?} is not a duration"),
            "write a duration such as 90s or 1h",
        )
    })
}

/// `--cache-commit-limit`: `SIZE[,ENTRIES]`.
pub(super) fn commit_limit(text: &str, option: &str) -> Result<CommitLimit, Failure> {
    let default = CommitLimit::default();
    let (size, entries) = match text.split_once(',') {
        Some((size, entries)) => (size, entries.trim().parse().ok()),
        None => (text, Some(default.entries)),
    };
    let entries = entries.ok_or_else(|| {
        let what = format!("{option}: {text:?} has no number of entries after its comma");
        Failure::usage(what, "write a size, or a size and a number: 8Gi,200000")
    })?;
    Ok(CommitLimit { bytes: parse_bytes(size, option)?.0, entries })
}

/// `--limit` of `update-cache`: `SIZE[,TOTAL]`.
pub(super) fn fetch_limit(text: &str) -> Result<FetchLimit, Failure> {
    const OPTION: &str = "--limit";
    let (each, total) = match text.split_once(',') {
        Some((each, total)) => (each, Some(parse_bytes(total, OPTION)?.0)),
        None => (text, None),
    };
    let each = parse_bytes(each, OPTION)?.0;
    Ok(FetchLimit { each, total: total.unwrap_or_else(|| FetchLimit::default().total.max(each)) })
}

/// Refuses what contradicts itself in the options of the cache.
fn check_cache(args: &MachineArgs, cache: Option<&Path>, source: Option<&Path>) -> Result<(), Failure> {
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

/// Refuses and names options that only another backend follows.
fn check_backend(args: &MachineArgs, runner: RunnerKind) -> Result<(), Failure> {
    if runner == RunnerKind::Qemu {
        return Ok(());
    }
    let given = [
        ("--virtiofsd", args.virtiofsd.is_some()),
        ("--accel", args.accel != AcceleratorOption::Auto),
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

fn source(args: &MachineArgs, file: &Path) -> Result<Option<PathBuf>> {
    if args.empty_workspace {
        return Ok(None);
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
        Ok(_) => Ok(Some(found)),
        Err(error) => Err(Failure::usage(
            format!("--source-dir: {} cannot be read: {error}", directory.display()),
            "make it readable for this user, name another one, or use --empty-workspace",
        )
        .into()),
    }
}

/// Naming a server switches virtiofs on; else `QEMU_USE_VIRTIOFS` decides.
fn virtiofs(args: &MachineArgs, env: &Env) -> Result<VirtiofsOption> {
    Ok(match (args.virtiofsd, env.bool("QEMU_USE_VIRTIOFS")?) {
        (Some(option), _) => option,
        (None, Some(true)) => VirtiofsOption::Spawned,
        (None, Some(false) | None) => VirtiofsOption::Off,
    })
}

fn time_limit(flag: &str, text: Option<&str>) -> Result<Option<Duration>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let way_out = "write a duration such as 90s, 10m or 1h30m";
    match duration::parse(text) {
        Some(Duration::ZERO) => Ok(None),
        Some(limit) => Ok(Some(limit)),
        None => Err(Failure::usage(format!("{flag}: {text:?} is not a duration"), way_out)),
    }
}

/// The seconds of the years 0 to 9999: what RFC 3339 can write, and tools such as `date` and Python can read.
const BUILD_DATES: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

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
    let Some(text) = args.build_date.as_deref().filter(|text| !text.is_empty()) else { return Ok(0) };
    rfc3339(text).ok_or_else(|| {
        Failure::usage(format!("--build-date: {text:?} is not a time"), "write it as 2026-01-31T12:00:00Z")
            .into()
    })
}

/// Seconds since the epoch of `YYYY-MM-DDTHH:MM:SS[.frac](Z|±HH:MM)` (RFC 3339 §5.6).
fn rfc3339(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let bytes = text.as_bytes();
    let separated = [(4, b"-"), (7, b"-"), (10, b"T"), (13, b":"), (16, b":")];
    if !separated
        .iter()
        .all(|&(at, sign)| bytes.get(at).is_some_and(|b| sign.contains(&b.to_ascii_uppercase())))
    {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let zone = text.get(19..)?;
    let zone =
        zone.strip_prefix('.').map_or(zone, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let offset = offset(zone)?;
    if !(1..=12).contains(&month) {
        return None;
    }
    let next_month = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
    let in_range =
        (1..=next_month - days(year, month, 1)).contains(&day) && hour < 24 && minute < 60 && second < 61;
    in_range.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    Some(sign * (hours.parse::<u16>().ok()? as i64 * 3_600 + minutes.parse::<u16>().ok()? as i64 * 60))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:30:45Z", 951_827_445),
            ("2026-01-31T12:00:00.250+02:00", 1_769_853_600),
            ("1969-12-31T23:59:59z", -1),
        ] {
            assert_eq!(rfc3339(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-12-32T00:00:00Z",
            "2026-01-01 00:00:00",
            "2026-01-01T00:00:00+1",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_commit_limit_is_a_size_and_perhaps_a_number() {
        let limit = |bytes, entries| Ok(CommitLimit { bytes, entries });
        assert_eq!(commit_limit("8Gi", "--x"), limit(8 << 30, 1 << 20));
        assert_eq!(commit_limit("1Mi,20", "--x"), limit(1 << 20, 20));
        for text in ["", "many", "1Gi,", "1Gi,x"] {
            assert!(commit_limit(text, "--x").is_err(), "{text}");
        }
    }

    #[test]
    fn a_fetch_limit_is_a_size_and_perhaps_a_total() {
        let limit = |each, total| Ok(FetchLimit { each, total });
        assert_eq!(fetch_limit("16Gi,64Gi"), Ok(FetchLimit::default()));
        assert_eq!(fetch_limit("1Mi"), limit(1 << 20, 64 << 30));
        assert_eq!(fetch_limit("100Gi"), limit(100 << 30, 100 << 30));
        assert_eq!(fetch_limit("1Gi,2Gi"), limit(1 << 30, 2 << 30));
        for text in ["", "-1", "many", "1Gi,", "1Gi,x", "0", "1Gi,2Gi,3Gi"] {
            assert!(fetch_limit(text).is_err(), "{text}");
        }
    }
}
