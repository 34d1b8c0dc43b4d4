//! Restrictions of a jail's root: capabilities, the caller's keyring, and system calls.
//!
//! The user namespace is the boundary. This removes interfaces of the kernel that dpkg and its packages' scripts do not need.
#![expect(unsafe_code, reason = "keyctl has no safe binding")]
// UNSAFETY: one system call on numbers.

use anyhow::{Context, Result};
use nix::{libc, sys::prctl::set_no_new_privs};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use seccompiler::sock_filter;

/// Of capabilities(7), what installing packages and mounting /proc in a root takes: mount(2) takes SYS_ADMIN, an overlay's
/// whiteouts MKNOD, where a user namespace allows that.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// Denied with EPERM, as by docker's default profile; no package's script needs them.
const DENIED: [libc::c_long; 30] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// `KEYCTL_JOIN_SESSION_KEYRING` of keyctl(2).
const JOIN_SESSION_KEYRING: libc::c_int = 1;
/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64` of `linux/audit.h`.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
/// The bit of the number that tells calls of the x32 ABI.
const X32: u32 = 0x4000_0000;
/// `offsetof(struct seccomp_data, …)`.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// Applies the restrictions, which exec preserves.
pub(super) fn confine() -> Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if !CAPABILITIES.contains(capability) {
            // Best effort: a number that the kernel does not know is no capability.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    // A new session keyring. Best effort: a kernel without keys has none to hide.
    // SAFETY: plain system call; no name means a new one.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0, 0, 0, 0) };
    set_no_new_privs().context("give up new privileges")?;
    seccompiler::apply_filter(&filter()).context("load the filter of system calls")
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).expect("an opcode has 16 bits"), jt, jf, k }
}

/// A classic BPF program (seccomp(2)): other architectures' calls and the denied ones fail with EPERM.
fn filter() -> Vec<sock_filter> {
    let load = |at| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let equal = |k, jt, jf| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let answer = |k| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    let deny = || answer(libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned());
    let mut program = vec![load(ARCHITECTURE_AT), equal(ARCHITECTURE, 1, 0), deny(), load(NUMBER_AT)];
    program.extend([instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32), deny()]);
    for number in DENIED {
        program.extend([equal(u32::try_from(number).expect("a call's number is small"), 0, 1), deny()]);
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}
