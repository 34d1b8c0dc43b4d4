//! Scripts of steps: where they end, and what they can open.

use super::{daemon, said};
use crate::{fragments, world::Place};

#[test]
fn a_script_ends_where_it_ends_and_its_streams_can_be_opened() {
    let Some(()) = daemon() else { return };
    let steps = fragments::steps();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    for run_as in ["root", "build"] {
        let place = Place::new();
        let output = place.build(run_as, &steps, &[]);
        assert!(output.status.success(), "{run_as}: {}", said(&output));
        fragments::check(&said(&output));
    }
}
