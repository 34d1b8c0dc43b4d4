//! Scripts of steps: where they end, and what they can open.

use super::{assert_clean, build, has_bwrap, project, said};
use crate::fragments;

#[test]
fn a_script_ends_where_it_ends_and_its_streams_can_be_opened() {
    if !has_bwrap() {
        return;
    }
    let steps = fragments::steps();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    for run_as in ["root", "build"] {
        let (_directory, project) = project();
        let output = build(&project, run_as, &steps, &[]);
        assert!(output.status.success(), "{run_as}: {}", said(&output));
        fragments::check(&said(&output));
        assert_clean(&project);
    }
}

#[test]
fn a_script_that_fails_before_its_end_fails() {
    if !has_bwrap() {
        return;
    }
    for (script, status) in [
        ("false\necho too far", 1),
        ("(exit 3) | cat\necho too far", 3),
        ("return 4", 4),
        ("set +e; return 6", 6),
        ("trap 'exit 7' EXIT", 7),
        ("exit 8\n", 8),
        ("set +e; . /nowhere; echo on; exit 9", 9),
        ("exec sh -c 'exit 10'", 10),
    ] {
        let (_directory, project) = project();
        let output = build(&project, "root", &[script], &[]);
        assert_eq!(output.status.code(), Some(5), "{script}: {}", said(&output));
        let text = said(&output);
        assert!(text.contains(&format!("exited with status {status}")), "{script}: {text}");
        assert!(!text.contains("] too far"), "{script}: {text}");
    }
}

#[test]
fn a_trace_shows_what_the_script_did() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let output = build(&project, "root", &["for i in 1 2; do\n  echo \"is $i\"\ndone"], &["--debug"]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for line in ["+ cd /home/build", "+ . /run/kiln-step", "++ echo 'is 1'", "++ echo 'is 2'"] {
        assert!(text.contains(&format!("] {line}\n")), "no {line:?} in {text}");
    }
}
