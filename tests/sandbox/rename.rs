//! A step renames directories that were there before it.

use super::{build, has_bwrap, project, said, skip};
use crate::renames::{STEP, check_discarded, check_kept, fill};

#[test]
fn a_directory_that_was_there_can_be_renamed_and_a_commit_keeps_it_whole() {
    if !has_bwrap() {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return skip("an ordinary user's overlay does not rename directories (userxattr)");
    }
    for run_as in ["root", "build"] {
        for (mode, check) in
            [("discard", check_discarded as fn(&std::path::Path)), ("commit", check_kept), ("rw", check_kept)]
        {
            let (_directory, project) = project();
            fill(&project);
            let output = build(&project, run_as, &[STEP], &["--cache-mode", mode]);
            assert!(output.status.success(), "{run_as}, {mode}: {}", said(&output));
            check(&project);
        }
    }
}
