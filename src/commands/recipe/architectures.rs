//! `--arch`: the architectures of a build.

use crate::{
    cli::{ArchOption, RecipeArgs},
    compile::Arch,
    exit::Failure,
};

/// The architectures asked for, those of the build file left; none when they do not overlap.
pub(in crate::commands) fn architectures(args: &RecipeArgs) -> Result<Vec<Arch>, Failure> {
    let host = || {
        Arch::host().ok_or_else(|| {
            Failure::host("kiln does not know this machine's architecture", "name one with --arch")
        })
    };
    if args.arch.is_empty() {
        return Ok(vec![host()?]);
    }
    let mut all = Vec::new();
    for option in &args.arch {
        match option {
            ArchOption::Host => all.push(host()?),
            ArchOption::All => all.extend(Arch::ALL),
            ArchOption::One(arch) => all.push(*arch),
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The one architecture of a build: guests run on the host's own.
pub(in crate::commands) fn buildable(asked: &[Arch]) -> Result<Arch, Failure> {
    let host = Arch::host();
    let foreign: Vec<&str> =
        asked.iter().filter(|arch| Some(**arch) != host).map(|arch| arch.apk()).collect();
    match (asked, foreign.as_slice()) {
        ([arch], []) if *arch == Arch::X86_64 => Ok(*arch),
        ([arch], []) => Err(Failure::host(
            format!("kiln's microVM is x86-64's: {} hosts are not supported yet", arch.apk()),
            "build on an x86_64 host",
        )),
        _ => Err(Failure::usage(
            format!("--arch: guests of another architecture are not supported yet: {}", foreign.join(", ")),
            "leave --arch out, and build on a host of that architecture",
        )),
    }
}
