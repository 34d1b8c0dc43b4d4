//! Scripts of steps: where they end, and what they can open.

use super::{kiln, project, said};
use crate::fragments;

#[test]
fn a_script_ends_where_it_ends_and_its_streams_can_be_opened() {
    let steps = fragments::steps();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    for run_as in ["root", "build"] {
        let directory = project(run_as, &steps);
        let output = kiln(directory.path()).output().expect("kiln can be started");
        assert!(output.status.success(), "{run_as}: {}", said(&output));
        fragments::check(&said(&output));
    }
}
