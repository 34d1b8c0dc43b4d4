//! melange's flags without effect: a note for each that is given.

use crate::cli::UnsupportedArgs;

/// A line for each flag that was given and has no effect.
pub(super) fn notes(args: &UnsupportedArgs) -> Vec<String> {
    // Taken apart so that a new flag cannot be forgotten here.
    let UnsupportedArgs {
        signing_key,
        generate_index,
        generate_provenance,
        lint_require,
        lint_warn,
        persist_lint_results,
        namespace,
        license,
        git_commit,
        git_repo_url,
        strip_origin_name,
        dependency_log,
        create_build_log,
        apk_cache_dir,
        keyring_append,
        repository_append,
        ignore_signatures,
        cache_source,
        cleanup,
        rm,
        fail_on_lint_warning,
        trace,
        workspace_dir,
        debug_runner,
    } = args;
    let given = [
        ("--signing-key", signing_key.is_some(), "kiln makes no .apk yet"),
        ("--generate-index", *generate_index == Some(true), "kiln makes no index yet"),
        ("--generate-provenance", *generate_provenance == Some(true), "kiln makes no provenance yet"),
        ("--lint-require", !lint_require.is_empty(), "kiln has no linters yet"),
        ("--lint-warn", !lint_warn.is_empty(), "kiln has no linters yet"),
        ("--persist-lint-results", *persist_lint_results, "kiln has no linters yet"),
        ("--namespace", namespace.is_some(), "it belongs to the metadata of .apk files"),
        ("--license", license.is_some(), "it belongs to the metadata of .apk files"),
        ("--git-commit", git_commit.is_some(), "it belongs to the metadata of .apk files"),
        ("--git-repo-url", git_repo_url.is_some(), "it belongs to the metadata of .apk files"),
        ("--strip-origin-name", *strip_origin_name, "it belongs to the metadata of .apk files"),
        ("--dependency-log", dependency_log.is_some(), "it belongs to the metadata of .apk files"),
        ("--create-build-log", *create_build_log, "kiln keeps its own logs of the last builds"),
        ("--apk-cache-dir", apk_cache_dir.is_some(), "roots are not made from apk repositories yet"),
        ("--keyring-append", !keyring_append.is_empty(), "roots are not made from apk repositories yet"),
        (
            "--repository-append",
            !repository_append.is_empty(),
            "roots are not made from apk repositories yet",
        ),
        ("--ignore-signatures", *ignore_signatures, "roots are not made from apk repositories yet"),
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
