//! A step renames directories that were there before it.

use super::{daemon, said};
use crate::{
    renames::{STEP, check_discarded, check_kept, fill},
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
    let step = STEP.replace("cd $base", "cd /var/cache/melange");
    let output = place.build("root", &[&step], &["--cache-mode", "commit"]);
    assert!(said(&output).contains("held: Invalid cross-device link"), "{}", said(&output));
    let step = step.replace("for base in /home/build /var/cache/melange", "for base in 1");
    let mv = |step: &str, from: &str, to: &str| {
        let rename = format!(
            "perl -e 'rename \"{from}\", \"{to}\" or die \"{}: $!\\n\"'",
            from.trim_start_matches("moved/")
        );
        assert!(step.contains(&rename), "{rename}");
        step.replace(&rename, &format!("mv {from} {to}"))
    };
    let output = place.build(
        "root",
        &[&mv(&mv(&step, "held", "moved"), "moved/sub", "sub")],
        &["--cache-mode", "commit"],
    );
    assert!(output.status.success(), "{}", said(&output));
    check_kept(&place.project());
}
