//! melange's flags without effect: a note for each that is given.

use crate::cli::UnsupportedArgs;

/// A line for each flag that was given and has no effect.
pub(super) fn notes(args: &UnsupportedArgs) -> Vec<String> {
    // Taken apart so that a new flag cannot be forgotten here.
    let UnsupportedArgs {
        cache_source,
        cleanup,
        rm,
        fail_on_lint_warning,
        trace,
        workspace_dir,
        debug_runner,
    } = args;
    let given = [
        ("--cache-source", cache_source.is_some(), "it has none in melange either"),
        ("--cleanup", cleanup.is_some(), "it has none in melange either"),
        ("--rm", *rm == Some(false), "nothing is left behind in any case"),
        ("--fail-on-lint-warning", *fail_on_lint_warning, "it has none in melange either"),
        ("--trace", trace.is_some(), "--progress json writes events instead"),
        ("--workspace-dir", workspace_dir.is_some(), "kiln keeps no workspace on the host"),
        ("--debug-runner", *debug_runner, "kiln does not leave a machine running"),
    ];
    let told = given.into_iter().filter(|(_, given, _)| *given);
    told.map(|(flag, _, why)| format!("{flag} has no effect: {why}")).collect()
}
