//! Linux's capabilities by name (`linux/capability.h`).

use crate::exit::Failure;

/// In the order of their numbers.
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
pub(super) fn number(name: &str) -> Result<u8, Failure> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let position = NAMES.iter().position(|known| *known == bare);
    position.and_then(|at| u8::try_from(at).ok()).ok_or_else(|| {
        Failure::build_file(
            format!("capabilities: {name:?} is not a capability"),
            "capabilities(7) lists them all",
        )
    })
}

/// The name of a capability, without `CAP_`; that of a number without a name is the number.
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
    }
}
