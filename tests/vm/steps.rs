//! Scripts of steps: where they end, what they can open, and directories that they rename. Together, since each guest takes
//! its time.

use std::path::Path;

use super::{kiln, project, said};
use crate::{
    fragments,
    renames::{STEP, check_discarded, check_kept, fill},
};

#[test]
fn scripts_end_where_they_end_their_streams_can_be_opened_and_directories_renamed() {
    let mut steps = fragments::steps();
    steps.push(STEP.into());
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    for (run_as, mode, check) in
        [("root", "discard", check_discarded as fn(&Path)), ("build", "commit", check_kept)]
    {
        let directory = project(run_as, &steps);
        fill(directory.path());
        let output =
            kiln(directory.path()).args(["--cache-mode", mode]).output().expect("kiln can be started");
        assert!(output.status.success(), "{run_as}, {mode}: {}", said(&output));
        fragments::check(&said(&output));
        check(directory.path());
    }
}
