//! The filter of a sandbox's system calls: docker's default profile, which steps have in a container.
//!
//! The profile is a list of allowed calls; all others fail with EPERM. Calls that need a capability are allowed if steps have it.
//! `clone3` fails with ENOSYS, since a filter cannot see its flags: the C library then uses `clone`.
//!
//! Programs of the machine's other instruction sets (i386 on x86_64) are filtered by their own numbers. Calls of x32 are not in the
//! list, and fail with EPERM. Docker compares all 64 bits of an argument; here only the 32 bits are compared that the kernel uses,
//! since the others could hide a family of sockets.

use std::collections::BTreeMap;

use kiln_protocol::SeccompFilter;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter as Filter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::{exit::Failure, plan::capability};

/// The list: a section for each capability, a line for each system call.
const PROFILE: &str = include_str!("seccomp/docker.tbl");
/// Its section of calls that need no capability.
const ALWAYS: &str = "always";
/// CAP_SYS_ADMIN of `linux/capability.h`.
const SYS_ADMIN: u8 = 21;

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID` and `NEWNET` of `linux/sched.h`.
const CLONE_NEW: u64 = 0x7E02_0000;
/// `AF_ALG` and `AF_VSOCK` of `linux/socket.h`, which ignore the network namespace, and `AF_NFC` between them.
const AF_ALG: u64 = 38;
const AF_NFC: u64 = 39;
const AF_VSOCK: u64 = 40;
/// `PER_LINUX`, `PER_LINUX32`, both with `UNAME26` (`linux/personality.h`), and the value that only queries the personality.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

/// `clone3`, on every architecture.
const CLONE3: u32 = 435;

/// Offsets in `struct seccomp_data` of `linux/seccomp.h`: the number of the call, and the architecture.
const NR: u32 = 0;
const ARCH: u32 = 4;
/// `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_K` with `BPF_JEQ`, `BPF_JGT`, `BPF_JGE`, and `BPF_RET | BPF_K` of
/// `linux/bpf_common.h`.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_NOT_LESS: u16 = 0x35;
const RETURN: u16 = 0x06;

/// EPERM of `asm-generic/errno-base.h`.
const EPERM: u32 = 1;
/// `SECCOMP_RET_ALLOW`, and `SECCOMP_RET_ERRNO` with ENOSYS.
const ALLOW: u32 = 0x7FFF_0000;
const NO_SUCH_CALL: u32 = 0x0005_0000 | 38;

/// An instruction set, as the kernel identifies it to the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Abi {
    /// `AUDIT_ARCH_…` of `linux/audit.h`.
    audit: u32,
    /// Its column in [`PROFILE`].
    column: usize,
}

const X86_64: Abi = Abi { audit: 0xC000_003E, column: 1 };
const I386: Abi = Abi { audit: 0x4000_0003, column: 2 };
const AARCH64: Abi = Abi { audit: 0xC000_00B7, column: 3 };

/// The instruction sets that programs of a machine may use. 32-bit programs on arm64 are refused: not every machine runs them.
fn abis(machine: &str) -> Option<&'static [Abi]> {
    match machine {
        "x86_64" => Some(&[X86_64, I386]),
        "aarch64" => Some(&[AARCH64]),
        _ => None,
    }
}

/// The filters for steps with these capabilities, on the machine that kiln is built for.
///
/// # Errors
/// A host failure on a machine whose system calls are not known.
pub(super) fn filters(capabilities: &[u8]) -> Result<Vec<SeccompFilter>, Failure> {
    let machine = std::env::consts::ARCH;
    let filters = abis(machine).and_then(|abis| {
        let of_abi = |abi: &Abi| program(*abi, rules(*abi, capabilities)?);
        let mut programs: Vec<BpfProgram> = abis.iter().map(of_abi).collect::<Option<_>>()?;
        programs.push(guard(abis, capabilities));
        Some(programs.iter().map(encoded).collect())
    });
    filters.ok_or_else(|| {
        Failure::host(
            format!("no filter of system calls can be made for {machine}"),
            "use --runner docker or qemu",
        )
    })
}

/// The allowed calls. One of the rules of a call must match; a call without rules is allowed with any arguments.
fn rules(abi: Abi, capabilities: &[u8]) -> Option<BTreeMap<i64, Vec<SeccompRule>>> {
    let has = |name: &str| {
        name == ALWAYS || capability::number(name).is_ok_and(|number| capabilities.contains(&number))
    };
    let mut rules = BTreeMap::new();
    for (call, conditions) in conditional_rules()? {
        rules.extend(number(call, abi).map(|number| (number, conditions)));
    }
    let mut allowed = false;
    for line in PROFILE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(section) => allowed = has(section),
            None if allowed => rules.extend(number(line, abi).map(|number| (number, Vec::new()))),
            None => {}
        }
    }
    // The guard decides on it.
    rules.insert(CLONE3.into(), Vec::new());
    Some(rules)
}

/// The number in a line of the list.
fn number(line: &str, abi: Abi) -> Option<i64> {
    line.split(' ').nth(abi.column)?.parse().ok()
}

/// The calls that are allowed with some arguments, as lines of the list.
fn conditional_rules() -> Option<[(&'static str, Vec<SeccompRule>); 3]> {
    let rule = |argument, operator, value| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).ok()?;
        SeccompRule::new(vec![condition]).ok()
    };
    let personalities = PERSONALITIES.map(|value| rule(0, SeccompCmpOp::Eq, value));
    Some([
        ("clone 56 120 220", vec![rule(0, SeccompCmpOp::MaskedEq(CLONE_NEW), 0)?]),
        (
            "socket 41 359 198",
            vec![
                rule(0, SeccompCmpOp::Lt, AF_ALG)?,
                rule(0, SeccompCmpOp::Eq, AF_NFC)?,
                rule(0, SeccompCmpOp::Gt, AF_VSOCK)?,
            ],
        ),
        ("personality 135 136 92", personalities.into_iter().collect::<Option<_>>()?),
    ])
}

/// The program for one instruction set. It allows all calls of other sets.
///
/// Calls that are allowed with any arguments are checked first, as runs of numbers: the kernel evaluates a new filter for every
/// call, so a program with a rule for each would delay a sandbox by some milliseconds. The rest is compiled.
fn program(abi: Abi, rules: BTreeMap<i64, Vec<SeccompRule>>) -> Option<BpfProgram> {
    let (free, conditional): (BTreeMap<_, _>, _) = rules.into_iter().partition(|(_, rules)| rules.is_empty());
    let mut program = vec![load(ARCH), jump(JUMP_IF_EQUAL, abi.audit, 1, 0), answer(ALLOW), load(NR)];
    for (first, last) in runs(free.into_keys()) {
        let (first, last) = (first.try_into().ok()?, last.try_into().ok()?);
        program.extend([
            jump(JUMP_IF_NOT_LESS, first, 0, 2),
            jump(JUMP_IF_GREATER, last, 1, 0),
            answer(ALLOW),
        ]);
    }
    // The compiler does not support i386. Only its check of the architecture would differ, which is left out here.
    let compiled = |rules: BTreeMap<i64, Vec<SeccompRule>>| -> Option<BpfProgram> {
        let refused = SeccompAction::Errno(EPERM);
        Filter::new(rules, refused, SeccompAction::Allow, TargetArch::x86_64).ok()?.try_into().ok()
    };
    let empty = compiled(BTreeMap::new())?;
    let check = empty.get(..empty.len().checked_sub(1)?)?;
    program.extend_from_slice(compiled(conditional)?.strip_prefix(check)?);
    Some(program)
}

/// First and last of each run of sorted numbers.
fn runs(numbers: impl Iterator<Item = i64>) -> Vec<(i64, i64)> {
    numbers.fold(Vec::new(), |mut runs: Vec<(i64, i64)>, number| {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
        runs
    })
}

/// The program that refuses other instruction sets, and `clone3`.
fn guard(abis: &[Abi], capabilities: &[u8]) -> BpfProgram {
    let mut program = vec![load(ARCH)];
    for (at, abi) in (0u8..).zip(abis) {
        // Skip the remaining comparisons, and the refusal.
        let rest = u8::try_from(abis.len()).unwrap_or(u8::MAX) - at;
        program.push(jump(JUMP_IF_EQUAL, abi.audit, rest, 0));
    }
    program.push(answer(NO_SUCH_CALL));
    if !capabilities.contains(&SYS_ADMIN) {
        program.extend([load(NR), jump(JUMP_IF_EQUAL, CLONE3, 0, 1), answer(NO_SUCH_CALL)]);
    }
    program.push(answer(ALLOW));
    program
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

/// Skips `jt` instructions if the comparison with `value` is true, else `jf`.
fn jump(code: u16, value: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k: value }
}

fn answer(action: u32) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: action }
}

/// The bytes of a program, in the kernel's format.
fn encoded(program: &BpfProgram) -> SeccompFilter {
    let bytes = |&sock_filter { code, jt, jf, k }: &sock_filter| {
        let ([a, b], [c, d, e, f]) = (code.to_ne_bytes(), k.to_ne_bytes());
        [a, b, jt, jf, c, d, e, f]
    };
    SeccompFilter { program: program.iter().flat_map(bytes).collect() }
}

#[cfg(test)]
mod tests;
