//! Linux's capabilities by name (`linux/capability.h`), and the set that steps have: docker's default set, without those that a
//! build file drops, and with those that it adds and that the user of kiln grants.
//!
//! A build file is not trusted. In a container and a sandbox a capability beyond the default set is a right over the host's
//! kernel, so the user decides. In a microVM the kernel is the guest's own.

use std::collections::BTreeSet;

use super::BuildOptions;
use crate::{
    compile::Recipe,
    exit::Failure,
    manifest::{Position, Text},
};

/// docker's default set, which steps get in every backend: chown, dac_override, fowner, fsetid, kill, setgid, setuid,
/// setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap (`linux/capability.h`).
pub const DEFAULT_CAPABILITIES: &[u8] = &[0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// The names in the order of their numbers.
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The number of a capability, written with or without `CAP_`, in any case.
///
/// # Errors
/// A failure of the build file that names the unknown one.
pub(crate) fn number(name: &str) -> Result<u8, Failure> {
    find(name).ok_or_else(|| {
        Failure::build_file(
            format!("capabilities: {name:?} is not a capability"),
            "capabilities(7) lists them all",
        )
    })
}

fn find(name: &str) -> Option<u8> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let position = NAMES.iter().position(|known| *known == bare);
    position.and_then(|at| u8::try_from(at).ok())
}

/// The number of a capability that `--allow-capability` grants.
///
/// # Errors
/// A usage failure for a name that is not a capability's.
pub fn parse_granted(name: &str) -> Result<u8, Failure> {
    find(name.trim()).ok_or_else(|| {
        Failure::usage(
            format!("--allow-capability: {name:?} is not a capability"),
            "capabilities(7) lists them all; write SYS_PTRACE, or CAP_SYS_PTRACE",
        )
    })
}

/// The capabilities of steps, sorted.
///
/// # Errors
/// A failure of the build file for a name that is not a capability; a usage failure for capabilities that are not granted.
pub(super) fn of_steps(recipe: &Recipe, options: &BuildOptions) -> Result<Vec<u8>, Failure> {
    let mut set: BTreeSet<u8> = DEFAULT_CAPABILITIES.iter().copied().collect();
    let mut refused = Vec::new();
    let dropped =
        recipe.capabilities.drop.iter().map(|name| number(name)).collect::<Result<BTreeSet<_>, _>>()?;
    for name in &recipe.capabilities.add {
        let number = number(name)?;
        let is_free = options.runner.traits().own_kernel
            || DEFAULT_CAPABILITIES.contains(&number)
            || dropped.contains(&number);
        if is_free || options.granted.contains(&number) {
            set.insert(number);
        } else {
            refused.push((name, number));
        }
    }
    if !refused.is_empty() {
        return Err(not_granted(&refused, options));
    }
    Ok(set.difference(&dropped).copied().collect())
}

fn not_granted(refused: &[(&Text, u8)], options: &BuildOptions) -> Failure {
    let place = |(text, number): &(&Text, u8)| {
        let Position { line, column } = text.position;
        format!("{}:{line}:{column}: CAP_{}", options.build_file.display(), name(*number))
    };
    let places: Vec<String> = refused.iter().map(place).collect();
    let names: BTreeSet<u8> = refused.iter().map(|(_, number)| *number).collect();
    let names: Vec<String> = names.into_iter().map(name).collect();
    let risk = options.runner.traits().capability_risk;
    Failure::usage(
        format!(
            "the build file asks for more than docker's default capabilities ({}), and with --runner {} the user has to grant them: \
             {risk}",
            places.join(", "),
            options.runner.name()
        ),
        format!(
            "If you trust the build file: --allow-capability {}. With --runner qemu it needs no grant.",
            names.join(",")
        ),
    )
}

/// The note on a container whose steps have more than docker's default set.
pub(crate) fn note_of_container(capabilities: &[u8]) -> Option<String> {
    let more = beyond_default(capabilities);
    (!more.is_empty()).then(|| {
        format!(
            "docker: {} granted: root in a container is root of this host, confined only by docker's AppArmor profile if there \
             is one (--runner bubblewrap and qemu confine it in any case)",
            more.join(", ")
        )
    })
}

/// The names of the capabilities that are not in docker's default set.
pub fn beyond_default(capabilities: &[u8]) -> Vec<String> {
    let more = capabilities.iter().filter(|number| !DEFAULT_CAPABILITIES.contains(number));
    more.map(|number| name(*number)).collect()
}

/// The names of all capabilities that are not in docker's default set.
pub fn beyond_default_all() -> Vec<String> {
    let all: Vec<u8> = (0..NAMES.len()).filter_map(|number| u8::try_from(number).ok()).collect();
    beyond_default(&all)
}

/// The names of docker's default capabilities that are missing.
pub fn short_of_default(capabilities: &[u8]) -> Vec<String> {
    let less = DEFAULT_CAPABILITIES.iter().filter(|number| !capabilities.contains(number));
    less.map(|number| name(*number)).collect()
}

/// The name of a capability, without `CAP_`, or its number if it has no name.
pub fn name(number: u8) -> String {
    NAMES.get(usize::from(number)).map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        for (name, expected) in
            [("CAP_CHOWN", 0), ("net_admin", 12), ("CAP_SYS_ADMIN", 21), ("CHECKPOINT_RESTORE", 40)]
        {
            assert_eq!(number(name), Ok(expected), "{name}");
        }
        assert!(number("CAP_FLY").is_err());
        assert_eq!(parse_granted("sys_ptrace"), Ok(19));
        assert_eq!(parse_granted("CAP_SYS_PTRACE"), parse_granted(" SYS_PTRACE"));
        assert_eq!(parse_granted("ALL").unwrap_err().code, crate::exit::Code::Usage);
    }
}
