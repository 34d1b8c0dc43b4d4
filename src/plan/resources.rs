//! The limits of a build: from the build file, else the command line, else the default; never more than the host has.

use serde::Serialize;

use super::{BuildOptions, Bytes, Resources, RunnerKind, cpu, parse_bytes};
use crate::{compile::Recipe, exit::Failure, host::Host};

/// The default memory in MiB: enough for most builds, and never more than half of the host.
const MEMORY_MIB: u64 = 4096;
/// The machine type microvm hangs with exactly this much memory in some versions of QEMU (microvm.nix #171).
const HANGS_AT_MIB: u64 = 2048;
/// The default number of processors, if the host has as many.
const CPUS: u32 = 4;
/// The default size of the scratch disk.
const DISK: Bytes = Bytes(50 << 30);

/// The smallest disk on which mke2fs makes a usable file system.
const MIN_DISK: Bytes = Bytes(64 << 20);

/// The source of a limit, and so the place to raise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// `package.resources`, which wins over the command line.
    BuildFile,
    /// The command line.
    CommandLine,
    /// The default.
    Default,
    /// This host, which has less than the requested memory.
    Host,
}

/// Memory and processors.
pub(super) fn resources(
    recipe: &Recipe,
    options: &BuildOptions,
    host: &Host,
    notes: &mut Vec<String>,
) -> Result<Resources, Failure> {
    let resources = recipe.package.resources.clone().unwrap_or_default();
    let least = options.runner.traits().min_memory;
    let of_file = in_build_file(&resources.memory, "memory", least, notes)?;
    let (memory_mib, memory_from) = match requested(of_file, options.memory) {
        None => (MEMORY_MIB.min(host.memory_mib / 2), LimitSource::Default),
        Some((wanted, from)) => {
            let (wanted, most) = (wanted.mib(), host.memory_mib.saturating_mul(9) / 10);
            if wanted > most {
                notes.push(format!(
                    "memory: {wanted} MiB is more than this host can give; the guest gets {most} MiB"
                ));
            }
            if wanted > most { (most, LimitSource::Host) } else { (wanted, from) }
        }
    };
    let cpus = match non_empty(&resources.cpu).map(|text| parse_cpus(text, "package.resources.cpu")) {
        Some(wanted) => Some(wanted.map_err(of_build_file)?),
        None => options.cpus,
    };
    let cpus = cpus.map_or(CPUS.min(host.cpus), |wanted| {
        if wanted > host.cpus {
            notes.push(format!("cpu: {wanted} is more than this host's {}", host.cpus));
        }
        wanted.min(host.cpus)
    });
    let memory_mib = if memory_mib == HANGS_AT_MIB { HANGS_AT_MIB + 1 } else { memory_mib };
    Ok(Resources { cpus: cpus.max(1), memory_mib, memory_from })
}

/// The size of a microVM's scratch disk, and its source.
pub(crate) fn disk(
    recipe: &Recipe,
    options: &BuildOptions,
    notes: &mut Vec<String>,
) -> Result<(Bytes, LimitSource), Failure> {
    let resources = recipe.package.resources.clone().unwrap_or_default();
    let of_file = in_build_file(&resources.disk, "disk", MIN_DISK, notes)?;
    Ok(requested(of_file, options.disk).unwrap_or((DISK, LimitSource::Default)))
}

/// The requested size. The build file wins.
fn requested(of_file: Option<Bytes>, of_command_line: Option<Bytes>) -> Option<(Bytes, LimitSource)> {
    let of_file = of_file.map(|size| (size, LimitSource::BuildFile));
    of_file.or_else(|| of_command_line.map(|size| (size, LimitSource::CommandLine)))
}

/// Notes on resources of a machine that have no effect in a backend without one.
pub(super) fn without_effect(recipe: &Recipe, options: &BuildOptions) -> Vec<String> {
    let traits = options.runner.traits();
    if traits.own_kernel {
        return Vec::new();
    }
    let resources = recipe.package.resources.clone().unwrap_or_default();
    let of_flag = options.disk.map(|disk| ("--disk", format!("{}Mi", disk.mib())));
    let of_file = |key, text: &str| non_empty(text).map(|value| (key, value.to_owned()));
    let requested = [
        (of_file("resources.disk", &resources.disk).or(of_flag), traits.scratch),
        (of_file("resources.cpumodel", &resources.cpumodel), "the processors are the host's"),
    ];
    let notes = requested.into_iter().filter_map(|(requested, why)| {
        let (requested, value) = requested?;
        Some(format!("{requested}: {value} has no effect with --runner {}: {why}", options.runner.name()))
    });
    notes.collect()
}

/// The processor's model.
pub(crate) fn cpu_model(recipe: &Recipe, options: &BuildOptions) -> Result<Option<String>, Failure> {
    let way_out =
        "write a name that qemu-system-x86_64 -cpu help lists, perhaps with features such as ,+avx2";
    let resources = recipe.package.resources.clone().unwrap_or_default();
    match (non_empty(&resources.cpumodel), options.cpu_model.as_deref()) {
        (Some(text), _) => cpu::model(text).map(Some).map_err(|why| Failure::build_file(why, way_out)),
        (None, Some(text)) => cpu::model(text).map(Some).map_err(|why| Failure::usage(why, way_out)),
        (None, None) => Ok(None),
    }
}

/// `--memory`, for this backend.
///
/// # Errors
/// A usage failure for less memory than a guest needs to start.
pub fn check_memory(size: Bytes, runner: RunnerKind) -> Result<Bytes, Failure> {
    at_least(size, &format!("{}Mi", size.mib()), "--memory", runner.traits().min_memory)
}

/// `--disk`.
///
/// # Errors
/// A usage failure for an invalid size, or one that is too small for a file system.
pub fn parse_disk(text: &str) -> Result<Bytes, Failure> {
    at_least(parse_bytes(text, "--disk")?, text, "--disk", MIN_DISK)
}

/// A number of processors: `2`, `1.5` (rounded up), `500m` (Kubernetes' thousandths). `what` names it in the error.
///
/// # Errors
/// A usage failure for anything else, zero, and more than 4096.
pub fn parse_cpus(text: &str, what: &str) -> Result<u32, Failure> {
    let error = || {
        Failure::usage(format!("{what}: {text:?} is not a number of processors"), "write a number such as 2")
    };
    let (digits, divisor) = text.strip_suffix('m').map_or((text, 1.0), |thousandths| (thousandths, 1000.0));
    let count: f64 = digits.trim().parse().map_err(|_| error())?;
    let count = (count / divisor).ceil();
    // Both bounds are exact in f64, so the cast cannot lose anything.
    if (1.0..=4096.0).contains(&count) { Ok(count as u32) } else { Err(error()) }
}

fn at_least(size: Bytes, text: &str, what: &str, least: Bytes) -> Result<Bytes, Failure> {
    if size >= least {
        return Ok(size);
    }
    let least = least.mib();
    Err(Failure::usage(
        format!("{what}: {text} is too little: a build starts with {least}Mi at least"),
        format!("write {least}Mi or more"),
    ))
}

/// `package.resources.KEY`. A size that is too small for this backend is raised, with a note: the file may be for another one.
fn in_build_file(
    text: &str,
    key: &str,
    least: Bytes,
    notes: &mut Vec<String>,
) -> Result<Option<Bytes>, Failure> {
    let Some(text) = non_empty(text) else { return Ok(None) };
    let size = parse_bytes(text, &format!("package.resources.{key}")).map_err(of_build_file)?;
    if size < least {
        let least = least.mib();
        notes.push(format!("{key}: {text} is too little to start with; the build gets {least} MiB"));
    }
    Ok(Some(size.max(least)))
}

/// The same failure as one of the build file.
fn of_build_file(failure: Failure) -> Failure {
    Failure::build_file(failure.what, failure.way_out)
}

/// A value, unless it is empty.
pub(super) fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_small_sizes_of_the_command_line_are_refused() {
        for (text, runner, enough) in [
            ("64Mi", RunnerKind::Qemu, false),
            ("127Mi", RunnerKind::Qemu, false),
            ("128Mi", RunnerKind::Qemu, true),
            ("8Mi", RunnerKind::Docker, false),
            ("16Mi", RunnerKind::Bubblewrap, true),
        ] {
            let size = parse_bytes(text, "--memory").expect("a size");
            assert_eq!(check_memory(size, runner).is_ok(), enough, "{text} {runner:?}");
        }
        assert_eq!(parse_disk("1Mi").map_err(|failure| failure.way_out), Err("write 64Mi or more".into()));
        assert_eq!(parse_disk("64Mi"), Ok(Bytes(64 << 20)));
    }

    #[test]
    fn too_small_sizes_of_a_build_file_are_raised_and_invalid_ones_are_its_errors() {
        let mut notes = Vec::new();
        let raised = in_build_file("64Mi", "memory", Bytes(128 << 20), &mut notes);
        assert_eq!(raised, Ok(Some(Bytes(128 << 20))));
        assert_eq!(notes, ["memory: 64Mi is too little to start with; the build gets 128 MiB"]);
        let error = in_build_file("much", "disk", MIN_DISK, &mut notes).expect_err("no size");
        assert_eq!(
            (error.code, &*error.what),
            (crate::exit::Code::BuildFile, "package.resources.disk: \"much\" is not a size")
        );
    }

    #[test]
    fn the_build_file_wins_over_the_command_line() {
        let (file, line) = (Some(Bytes(1)), Some(Bytes(2)));
        for (sizes, expected) in [
            ((file, line), Some((Bytes(1), LimitSource::BuildFile))),
            ((None, line), Some((Bytes(2), LimitSource::CommandLine))),
            ((None, None), None),
        ] {
            assert_eq!(requested(sizes.0, sizes.1), expected);
        }
    }

    #[test]
    fn processors_are_rounded_up() {
        for (text, count) in [("2", 2), ("1.5", 2), ("500m", 1), ("2500m", 3)] {
            assert_eq!(parse_cpus(text, "--cpu"), Ok(count), "{text}");
        }
        for text in ["", "0", "-1", "many", "5000", "nan"] {
            assert!(parse_cpus(text, "--cpu").is_err(), "{text}");
        }
    }
}
