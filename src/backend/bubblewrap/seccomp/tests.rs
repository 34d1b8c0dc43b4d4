//! Tests of the filters, with an interpreter of their programs.

use super::*;
use crate::plan::DEFAULT_CAPABILITIES;

/// `AUDIT_ARCH_ARM`, which no filter allows.
const ARM: Abi = Abi { audit: 0x4000_0028, column: 0 };
const REFUSAL: u32 = 0x0005_0000 | EPERM;

/// Runs a program for a call. It supports the instructions that the compiler uses (bpf(4)).
fn run(program: &BpfProgram, abi: Abi, nr: u32, arguments: [u64; 6]) -> u32 {
    let mut words = vec![nr, abi.audit, 0, 0];
    words.extend(arguments.iter().flat_map(|argument| [*argument as u32, (argument >> 32) as u32]));
    let (mut at, mut register) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        let jump = |holds: bool| 1 + usize::from(if holds { jt } else { jf });
        at += match code {
            0x20 => {
                register = words[k as usize / 4];
                1
            }
            0x54 => {
                register &= k;
                1
            }
            0x05 => 1 + k as usize,
            0x15 => jump(register == k),
            0x25 => jump(register > k),
            0x35 => jump(register >= k),
            0x06 => return k,
            code => panic!("instruction {code:#x}"),
        };
    }
}

/// The answer of all filters: the most severe one; of two errors, that of the last filter (seccomp(2)).
fn answer_of(abis: &[Abi], capabilities: &[u8], abi: Abi, nr: u32, first: u64) -> u32 {
    let mut programs: Vec<BpfProgram> =
        abis.iter().map(|abi| program(*abi, rules(*abi, capabilities).unwrap()).unwrap()).collect();
    programs.push(guard(abis, capabilities));
    assert!(programs.iter().all(|program| program.len() < 4096), "the kernel takes no longer one");
    let answers = programs.iter().rev().map(|program| run(program, abi, nr, [first, 0, 0, 0, 0, 0]));
    answers.min_by_key(|answer| answer & 0xFFFF_0000).unwrap()
}

/// A call by its numbers on x86_64, i386 and arm64, with a first argument.
type Call = (&'static str, [u32; 3], u64);

const MACHINES: [(&[Abi], Abi, usize); 3] =
    [(&[X86_64, I386], X86_64, 0), (&[X86_64, I386], I386, 1), (&[AARCH64], AARCH64, 2)];

fn check(capabilities: &[u8], calls: &[Call], expected: u32) {
    for (abis, abi, column) in MACHINES {
        for (name, numbers, first) in calls {
            let answer = answer_of(abis, capabilities, abi, numbers[column], *first);
            assert_eq!(answer, expected, "{name}({first:#x}) on {abi:?} with {capabilities:?}");
        }
    }
}

const REFUSED: &[Call] = &[
    ("keyctl", [250, 288, 219], 10),
    ("add_key", [248, 286, 217], 0),
    ("request_key", [249, 287, 218], 0),
    ("kexec_load", [246, 283, 104], 0),
    ("userfaultfd", [323, 374, 282], 0),
    ("io_uring_setup", [425, 425, 425], 0),
    ("swapon", [167, 87, 224], 0),
    ("pivot_root", [155, 217, 41], 0),
    ("socket", [41, 359, 198], AF_VSOCK),
    ("socket", [41, 359, 198], AF_ALG),
    // The kernel uses 32 bits of it.
    ("socket", [41, 359, 198], 1 << 32 | AF_VSOCK),
    ("personality", [135, 136, 92], 0x0040_0000),
    ("a call to come", [9999, 9999, 9999], 0),
];

const OF_SYS_ADMIN: &[Call] = &[
    ("mount", [165, 21, 40], 0),
    ("umount2", [166, 52, 39], 0),
    ("unshare", [272, 310, 97], 0),
    ("setns", [308, 346, 268], 0),
    ("bpf", [321, 357, 280], 0),
    ("perf_event_open", [298, 336, 241], 0),
    ("fsopen", [430, 430, 430], 0),
    ("open_tree", [428, 428, 428], 0),
    ("clone", [56, 120, 220], 0x1000_0000),
    ("clone", [56, 120, 220], 1 << 32 | 0x1000_0000),
    ("clone", [56, 120, 220], 0x0002_0000),
];

const ALLOWED: &[Call] = &[
    ("read", [0, 3, 63], 0),
    ("execve", [59, 11, 221], 0),
    ("exit_group", [231, 252, 94], 0),
    ("ptrace", [101, 26, 117], 0),
    ("seccomp", [317, 354, 277], 0),
    ("clone", [56, 120, 220], 0x0001_0F00),
    ("socket", [41, 359, 198], 2),
    ("socket", [41, 359, 198], AF_NFC),
    ("socket", [41, 359, 198], 41),
    ("personality", [135, 136, 92], 0xFFFF_FFFF),
    ("personality", [135, 136, 92], 8),
];

#[test]
fn calls_that_docker_refuses_are_refused_on_every_architecture() {
    check(DEFAULT_CAPABILITIES, REFUSED, REFUSAL);
    check(DEFAULT_CAPABILITIES, OF_SYS_ADMIN, REFUSAL);
    check(DEFAULT_CAPABILITIES, ALLOWED, ALLOW);
    check(DEFAULT_CAPABILITIES, &[("clone3", [435, 435, 435], 0)], NO_SUCH_CALL);
}

#[test]
fn a_capability_allows_the_same_calls_as_in_docker() {
    let number = |name| capability::number(name).unwrap();
    let with = |name| [DEFAULT_CAPABILITIES, &[number(name)]].concat();
    check(&with("SYS_ADMIN"), OF_SYS_ADMIN, ALLOW);
    check(&with("SYS_ADMIN"), &[("clone3", [435, 435, 435], 0)], ALLOW);
    check(&with("SYS_ADMIN"), REFUSED, REFUSAL);
    check(&with("BPF"), &[("bpf", [321, 357, 280], 0)], ALLOW);
    check(&with("BPF"), &[("mount", [165, 21, 40], 0)], REFUSAL);
    check(&with("PERFMON"), &[("perf_event_open", [298, 336, 241], 0)], ALLOW);
    let kcmp: Call = ("kcmp", [312, 349, 272], 0);
    check(&with("SYS_PTRACE"), &[kcmp], ALLOW);
    check(DEFAULT_CAPABILITIES, &[kcmp], REFUSAL);
    // A capability of the default set that a build file drops.
    let chroot: Call = ("chroot", [161, 61, 51], 0);
    check(DEFAULT_CAPABILITIES, &[chroot], ALLOW);
    check(&[], &[chroot], REFUSAL);
}

#[test]
fn every_call_of_the_list_is_allowed_and_its_neighbours_only_if_they_are_listed() {
    for (abis, abi, _) in MACHINES {
        let rules = rules(abi, DEFAULT_CAPABILITIES).unwrap();
        for nr in 0..600 {
            let expected = match rules.get(&i64::from(nr)) {
                Some(_) if nr == CLONE3 => NO_SUCH_CALL,
                Some(rules) if rules.is_empty() => ALLOW,
                Some(_) => continue,
                None => REFUSAL,
            };
            assert_eq!(answer_of(abis, DEFAULT_CAPABILITIES, abi, nr, 0), expected, "{nr} on {abi:?}");
        }
    }
}

#[test]
fn other_instruction_sets_are_refused() {
    let read = |abi| answer_of(&[AARCH64], DEFAULT_CAPABILITIES, abi, 63, 0);
    assert_eq!((read(AARCH64), read(ARM)), (ALLOW, NO_SUCH_CALL));
    let x32 = |nr: u32| answer_of(&[X86_64, I386], DEFAULT_CAPABILITIES, X86_64, nr | 0x4000_0000, 0);
    assert_eq!((x32(0), x32(250)), (REFUSAL, REFUSAL));
}

#[test]
fn every_line_of_the_list_is_valid() {
    let lines = PROFILE.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let numbers = words[1..].iter().filter(|word| **word != "-");
        assert!(words.len() == 4 && numbers.clone().count() > 0, "{line}");
        numbers.for_each(|number| assert!(number.parse::<u16>().is_ok(), "{line}"));
    }
    for section in PROFILE.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']')) {
        assert!(section == ALWAYS || capability::number(section).is_ok(), "{section}");
    }
    assert!(filters(DEFAULT_CAPABILITIES).is_ok());
}
