//! A step renames directories that were there before it.

use super::{daemon, said};
use crate::{
    renames::{STEP, check_discarded, check_kept, fill, with_mv},
    world::Place,
};

#[test]
fn a_directory_that_was_there_can_be_renamed_but_where_a_commit_reads_the_overlay() {
    let Some(()) = daemon() else { return };
    for (mode, check) in [("discard", check_discarded as fn(&std::path::Path)), ("rw", check_kept)] {
        let place = Place::new();
        fill(&place.project());
        let output = place.build("root", &[STEP], &["--cache-mode", mode]);
        assert!(output.status.success(), "{mode}: {}", said(&output));
        check(&place.project());
    }
    // As the table in docs/filesystems.md says: there it takes mv, which copies.
    let place = Place::new();
    fill(&place.project());
    let commit = ["--cache-mode", "commit"];
    let output = place.build("root", &[STEP], &commit);
    assert!(said(&output).contains("held: Invalid cross-device link"), "{}", said(&output));
    let output = place.build("root", &[&with_mv()], &commit);
    assert!(output.status.success(), "{}", said(&output));
    check_kept(&place.project());
}
