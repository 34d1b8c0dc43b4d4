//! What the agent keeps from its steps.

use std::process::Command;

use crate::agent::{Agent, empty_world, is_root};

#[test]
fn no_descriptor_of_the_agent_can_be_opened_by_a_step() {
    // With the rights of its steps and no more, as in a container: having more alone would close it.
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
    assert_eq!(Agent::in_world(&mut command, empty_world()).output_of(opened), "none\n");
}
