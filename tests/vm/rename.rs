//! A step renames directories that were there before it.

use super::{kiln, project, said};
use crate::renames::{STEP, check_discarded, check_kept, fill};

#[test]
fn a_directory_that_was_there_can_be_renamed_and_a_commit_keeps_it_whole() {
    for (mode, check) in [("discard", check_discarded as fn(&std::path::Path)), ("commit", check_kept)] {
        let directory = project("root", &[STEP]);
        fill(directory.path());
        let output =
            kiln(directory.path()).args(["--cache-mode", mode]).output().expect("kiln can be started");
        assert!(output.status.success(), "{mode}: {}", said(&output));
        check(directory.path());
    }
}
