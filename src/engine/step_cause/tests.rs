use kiln_protocol::{FullDirectory, MemoryEvents};

use super::*;

const MEMORY: Limit = Limit { mib: 400, from: LimitSource::BuildFile };
const DISK: Limit = Limit { mib: 300, from: LimitSource::CommandLine };

fn guest() -> Surroundings {
    Surroundings {
        memory: MEMORY,
        disk: Some(DISK),
        scratch: None,
        cache: None,
        runner: RunnerKind::Qemu,
        network: Network::On,
        installed: true,
        has_one_user: false,
    }
}

/// A backend that writes to the host.
fn shared(runner: RunnerKind) -> Surroundings {
    let (scratch, cache) = (Some("/scratch".into()), Some("/my cache".into()));
    Surroundings { disk: None, scratch, cache, runner, ..guest() }
}

fn ended(status: ExitStatus, exhausted: Exhausted, text: &str) -> StepEnd {
    StepEnd { status, exhausted, last_lines: text.lines().map(str::to_owned).collect() }
}

fn memory(oom_kills: u64, limit_hits: Option<u64>) -> Exhausted {
    Exhausted { memory: Some(MemoryEvents { oom_kills, limit_hits }), full: Vec::new() }
}

fn full(paths: &[(&str, Room)]) -> Exhausted {
    let full = |(path, lacks): &(&str, Room)| FullDirectory { path: (*path).into(), lacks: *lacks };
    Exhausted { memory: None, full: paths.iter().map(full).collect() }
}

#[test]
fn memory_is_a_cause_where_the_kernel_says_so_and_else_a_hint_at_most() {
    let (code, signal) = (ExitStatus::Code, ExitStatus::Signal);
    let out = |processes| Some(StepCause::OutOfMemory { processes, memory: MEMORY });
    let killed = |counted| Some(StepCause::Killed { counted });
    for (status, exhausted, expected) in [
        // A guest has no limit but its memory.
        (code(137), memory(1, None), out(1)),
        (signal(9), memory(1, None), out(1)),
        // make says 2, whatever its compilers ended by.
        (code(2), memory(3, None), out(3)),
        (code(1), memory(1, Some(7)), out(1)),
        (code(137), memory(2, Some(0)), Some(StepCause::HostOutOfMemory { processes: 2, memory: MEMORY })),
        (code(137), memory(0, Some(9)), killed(Counted::Unchanged)),
        (signal(9), memory(0, None), killed(Counted::Unchanged)),
        (code(137), Exhausted::default(), killed(Counted::Unknown)),
        (signal(9), Exhausted::default(), killed(Counted::Unknown)),
        (code(1), memory(0, Some(9)), None),
        (signal(11), Exhausted::default(), None),
        (ExitStatus::TimedOut, memory(1, None), None),
        (ExitStatus::Cancelled, memory(1, None), None),
    ] {
        let causes = guest().causes(&ended(status, exhausted.clone(), ""));
        assert_eq!(causes.first(), expected.as_ref(), "{status:?} {exhausted:?}");
        assert!(causes.len() <= 1, "{causes:?}");
    }
}

#[test]
fn a_full_file_system_is_named_once_by_what_holds_it() {
    let both = [("/", Room::Space), ("/home/build", Room::Space)];
    let with_cache = [both[0], both[1], (CACHE, Room::Inodes)];
    let of = |place, lacks| StepCause::Full { place, lacks };
    let host = |runner| of(FullPlace::Host("/scratch".into(), runner), Room::Space);
    let cache = of(FullPlace::Cache("/my cache".into()), Room::Inodes);
    let (docker, bubblewrap) = (RunnerKind::Docker, RunnerKind::Bubblewrap);
    for (surroundings, found, expected) in [
        (guest(), &both[..], vec![of(FullPlace::Disk(DISK), Room::Space)]),
        (guest(), &[("/", Room::Inodes)], vec![of(FullPlace::Disk(DISK), Room::Inodes)]),
        (shared(docker), &with_cache, vec![host(docker), cache.clone()]),
        (shared(bubblewrap), &both, vec![host(bubblewrap)]),
        (shared(bubblewrap), &with_cache[2..], vec![cache]),
        (guest(), &[], vec![]),
    ] {
        assert_eq!(surroundings.causes(&ended(ExitStatus::Code(1), full(found), "")), expected, "{found:?}");
    }
}

#[test]
fn no_room_that_has_come_back_is_known_by_its_words_alone() {
    let text = "cc: error: /tmp/x.s: No space left on device";
    let was = |disk| StepCause::WasFull { disk };
    assert_eq!(guest().causes(&ended(ExitStatus::Code(1), Exhausted::default(), text)), [was(Some(DISK))]);
    let docker = shared(RunnerKind::Docker);
    assert_eq!(docker.causes(&ended(ExitStatus::Code(1), Exhausted::default(), text)), [was(None)]);
    let full = full(&[("/", Room::Space)]);
    let causes = guest().causes(&ended(ExitStatus::Code(1), full, text));
    assert_eq!(causes, [StepCause::Full { place: FullPlace::Disk(DISK), lacks: Room::Space }]);
}

#[test]
fn a_network_that_is_off_is_a_possibility_where_a_program_speaks_of_one() {
    let off = || Surroundings { network: Network::Off, ..guest() };
    for (line, sign) in [
        ("curl: (6) Could not resolve host: example.org", "could not resolve host"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "could not resolve host"),
        (
            "socket.gaierror: [Errno -3] Temporary failure in name resolution",
            "temporary failure in name resolution",
        ),
        ("wget: bad address 'example.org'", "bad address '"),
        ("wget: unable to resolve host address 'example.org'", "unable to resolve host address"),
        (
            "go: x@v1: Get \"https://p/\": dial tcp: lookup p on [::1]:53: connection refused",
            "dial tcp: lookup",
        ),
        ("npm ERR! request to https://r/ failed, reason: getaddrinfo EAI_AGAIN r", "getaddrinfo eai_again"),
        ("error: dns error: failed to lookup address information: x", "failed to lookup address information"),
        ("java.net.UnknownHostException: repo", "unknownhostexception"),
        ("connect: Network is unreachable", "network is unreachable"),
    ] {
        let end = ended(ExitStatus::Code(1), Exhausted::default(), &format!("before\n{line}\nafter"));
        assert_eq!(off().causes(&end), [StepCause::NetworkOff { sign }], "{line}");
        assert_eq!(guest().causes(&end), [], "{line}");
    }
    let other = ended(ExitStatus::Code(1), Exhausted::default(), "a test failed");
    assert_eq!(off().causes(&other), []);
}

#[test]
fn a_program_that_cannot_be_run_is_named_where_the_shell_names_it() {
    let say = |what: &str| format!("/run/kiln-step: line 1: {what}");
    let library =
        "tool: error while loading shared libraries: libx.so.1: cannot open shared object file: No such file";
    let (name, installed) = (|name: &str| Some(name.to_owned()), true);
    let not_executable = |name, reason| Some(StepCause::NotExecutable { name, reason });
    for (status, text, expected) in [
        (127, say("cmake: command not found"), Some(StepCause::NoProgram { name: name("cmake"), installed })),
        (127, say("a b: command not found"), Some(StepCause::NoProgram { name: None, installed })),
        (127, String::new(), Some(StepCause::NoProgram { name: None, installed })),
        (127, library.into(), Some(StepCause::NoLibrary { name: "libx.so.1".into(), installed })),
        (
            127,
            say("./x: No such file or directory"),
            Some(StepCause::NoFile { name: name("./x"), installed }),
        ),
        (
            126,
            say("./x: /bin/y: bad interpreter: No such file or directory"),
            Some(StepCause::NoFile { name: name("./x"), installed }),
        ),
        (126, say("./x: Permission denied"), not_executable(name("./x"), Some(Reason::Permission))),
        (126, say("./x: Is a directory"), not_executable(name("./x"), Some(Reason::Directory))),
        (126, String::new(), not_executable(None, None)),
        // A message that the step continued after is not the cause.
        (1, say("cmake: command not found"), None),
        (2, library.into(), None),
    ] {
        let causes = guest().causes(&ended(ExitStatus::Code(status), Exhausted::default(), &text));
        assert_eq!(causes.first(), expected.as_ref(), "{status} {text}");
    }
    let tar = Surroundings { installed: false, ..guest() };
    let causes = tar.causes(&ended(ExitStatus::Code(127), Exhausted::default(), ""));
    assert_eq!(causes, [StepCause::NoProgram { name: None, installed: false }]);
}

#[test]
fn each_way_out_names_what_raises_the_limit_that_applied() {
    let limit = |from| Limit { mib: 400, from };
    for (from, memory, disk) in [
        (LimitSource::BuildFile, "raise package.resources.memory", "raise package.resources.disk"),
        (LimitSource::CommandLine, "raise --memory", "raise --disk"),
        (
            LimitSource::Default,
            "give it more with package.resources.memory, or --memory",
            "give it more with package.resources.disk, or --disk",
        ),
        (
            LimitSource::Host,
            "this host has no more to give: build on a host with more memory",
            "this host has no more to give: build on a host with a larger disk",
        ),
    ] {
        let out = StepCause::OutOfMemory { processes: 1, memory: limit(from) };
        assert_eq!(out.way_out().as_deref(), Some(memory));
        let full = StepCause::Full { place: FullPlace::Disk(limit(from)), lacks: Room::Space };
        assert_eq!(full.way_out().as_deref(), Some(disk));
    }
}

#[test]
fn another_owner_is_a_hint_where_there_is_none() {
    let failed = |text| ended(ExitStatus::Code(1), Exhausted::default(), text);
    let one_user = Surroundings { has_one_user: true, ..shared(RunnerKind::Bubblewrap) };
    for text in [
        "chown: /home/build/x: Invalid argument",
        "chown: changing ownership of 'x': Invalid argument\nmake: *** [install] Error 1",
        "tar: x: Cannot change ownership to uid 7, gid 7: Invalid argument",
        "install: cannot change owner and permissions of 'x': Invalid argument",
    ] {
        assert_eq!(one_user.causes(&failed(text)), [StepCause::OneUser], "{text}");
        assert_eq!(shared(RunnerKind::Bubblewrap).causes(&failed(text)), [], "{text}");
    }
    for text in ["dd: failed to open 'x': Invalid argument", "chown: x: No such file or directory"] {
        assert_eq!(one_user.causes(&failed(text)), [], "{text}");
    }
    let way_out = StepCause::OneUser.way_out().expect("there is one");
    assert!(way_out.contains("usermod --add-subuids") && way_out.contains("--runner qemu"), "{way_out}");
    assert!(StepCause::OneUser.why().contains("/etc/subuid and /etc/subgid"));
}
