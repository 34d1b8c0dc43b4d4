//! Restrictions of steps.

use std::process::Command;

use kiln_protocol::{GuestConfig, NetworkNamespace, SeccompFilter, UserNamespace};

use crate::agent::{Agent, empty_config, is_root, skip};

#[test]
fn no_descriptor_of_the_agent_can_be_opened_by_a_step() {
    // With the same capabilities as its steps, as in a container: more of them would protect the agent by themselves.
    let agent = env!("CARGO_BIN_EXE_guest-init");
    let mut command = match is_root() {
        true => Command::new("setpriv"),
        false => Command::new(agent),
    };
    if is_root() {
        command.args(["--bounding-set=-all", agent]);
    }
    let opened = "for name in fd/0 fd/1 fd/3 fd/4 mem environ; do \
                  (head -c 0 /proc/$PPID/$name) 2>/dev/null && echo $name; done; readlink /proc/$PPID/exe; echo none";
    assert_eq!(Agent::with_config(&mut command, empty_config()).output_of(opened), "none\n");
}

#[test]
fn steps_do_not_have_the_session_keyring_of_the_agents_parent() {
    // KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING.
    let script = "perl -e '$k = syscall(250, 0, -3, 0); print $k < 0 ? \"unknown\" : $k'";
    let own = Command::new("sh").args(["-c", script]).output().expect("sh can be started");
    let own = String::from_utf8(own.stdout).expect("a number");
    if own.is_empty() || own == "unknown" {
        return skip("keys cannot be asked for here");
    }
    assert_ne!(Agent::start().output_of(script), own);
}

#[test]
fn a_user_namespace_gives_root_other_ids_and_no_right_over_earlier_mounts() {
    if !is_root() {
        return skip("a user namespace with a range of ids needs root");
    }
    for first in [0, 1 << 31] {
        let user_namespace = Some(UserNamespace { first, network: NetworkNamespace::New });
        let mut agent = Agent::start_isolated(GuestConfig { user_namespace, ..empty_config() });
        let seen = agent.output_of(
            "id -u; awk '{print $2}' /proc/self/uid_map; ls /sys/class/net >/dev/null; \
             cat /proc/net/dev | grep -c :; umount /proc 2>/dev/null || echo locked; \
             mount -t tmpfs none /mnt && umount /mnt && echo its own; chown 1 /proc/sys/kernel/hostname 2>/dev/null || echo refused",
        );
        assert_eq!(seen, format!("0\n{first}\n1\nlocked\nits own\nrefused\n"), "{first}");
    }
}

#[test]
fn a_filter_holds_for_every_step() {
    // Loads the number of the call, and refuses uname (63 on x86_64) with EPERM.
    let instruction = |code: u16, jt: u8, jf: u8, k: u32| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([jt, jf]);
        bytes.extend(k.to_ne_bytes());
        bytes
    };
    let program = [(0x20, 0, 0, 0), (0x15, 0, 1, 63), (0x06, 0, 0, 0x0005_0001), (0x06, 0, 0, 0x7FFF_0000)];
    let program = program.into_iter().flat_map(|(code, jt, jf, k)| instruction(code, jt, jf, k)).collect();
    if !is_root() || !cfg!(target_arch = "x86_64") {
        return skip("a filter needs root, and the test x86_64");
    }
    let seccomp = vec![SeccompFilter { program }];
    let mut agent = Agent::start_isolated(GuestConfig { seccomp, ..empty_config() });
    for _ in 0..2 {
        assert_eq!(agent.output_of("uname 2>/dev/null || echo refused; echo on"), "refused\non\n");
    }
}
