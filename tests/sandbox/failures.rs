//! The cause of a failed step in the error.

use kiln::host::cgroup::Cgroups;

use crate::{assert_clean, build, has_bwrap, project, said, skip, step_cause};

#[test]
fn an_error_says_why_a_step_failed() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    for case in &step_cause::CASES {
        let output = build(&project, "root", &[case.script], case.arguments);
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        step_cause::check(case, &said(&output));
    }
    assert_clean(&project);
}

#[test]
fn a_step_without_memory_is_told_the_limit_and_what_raises_it() {
    if !has_bwrap() {
        return;
    }
    if Cgroups::find().memory.is_none() {
        return skip("this user may make no control group for memory");
    }
    let (_directory, project) = project();
    // As make reports the end of a compiler.
    let wrapped = format!("{} || exit 2", step_cause::EAT);
    for (script, status) in [(step_cause::EAT, "status 137"), (&wrapped, "status 2")] {
        let output = build(&project, "root", &["true", script], &["--memory", "64Mi"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(5), "{text}");
        for part in [
            status,
            "the kernel ended one of its processes for want of memory: this build has 64 MiB",
            "way out: raise --memory\n",
        ] {
            assert!(step_cause::error_of(&text).contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("the kernel ended").count(), 1, "{text}");
    }
    // A process that was ended in a step that went on is reported beside the build.
    let output = build(&project, "root", &[&format!("{} || true", step_cause::EAT)], &["--memory", "64Mi"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("the kernel killed 1 of its processes"), "{}", said(&output));
    assert_clean(&project);
}
