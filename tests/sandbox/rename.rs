//! A step renames directories that were there before it.

use super::{build, has_bwrap, project, said, skip};
use crate::renames::{STEP, check_discarded, check_kept, fill, with_mv};

#[test]
fn a_directory_that_was_there_can_be_renamed_but_where_a_commit_reads_the_overlay() {
    if !has_bwrap() {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return skip("an ordinary user's overlay does not rename directories (userxattr)");
    }
    for run_as in ["root", "build"] {
        for (mode, check) in [("discard", check_discarded as fn(&std::path::Path)), ("rw", check_kept)] {
            let (_directory, project) = project();
            fill(&project);
            let output = build(&project, run_as, &[STEP], &["--cache-mode", mode]);
            assert!(output.status.success(), "{run_as}, {mode}: {}", said(&output));
            check(&project);
        }
    }
    // As the table in docs/filesystems.md says: there it takes mv, which copies.
    let (_directory, project) = project();
    fill(&project);
    let commit = ["--cache-mode", "commit"];
    let output = build(&project, "root", &[STEP], &commit);
    assert!(said(&output).contains("held: Invalid cross-device link"), "{}", said(&output));
    let output = build(&project, "root", &[&with_mv()], &commit);
    assert!(output.status.success(), "{}", said(&output));
    check_kept(&project);
}
