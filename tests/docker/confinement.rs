//! Attempts of a step in a container against the agent and the kernel.

use crate::{
    calls::{AGENT_IS_CLOSED, calls, i386_calls, write_i386_programs},
    world::{Place, daemon, said},
};

#[test]
fn the_agent_is_closed_and_system_calls_are_those_of_dockers_profile() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    write_i386_programs(&place.project());
    let calls = calls("");
    for run_as in ["root", "build"] {
        let output = place.build(run_as, &[AGENT_IS_CLOSED, &calls, &i386_calls()], &[]);
        assert!(output.status.success(), "{run_as}: {}", said(&output));
    }
}
