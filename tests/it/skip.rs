//! Skips a test, and prints the reason.

/// Says why a test cannot be run here; an error where everything is required (`KILN_REQUIRE_ALL=1`).
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var_os("KILN_REQUIRE_ALL").is_none_or(|value| value != "1"),
        "required, but skipped: {why}"
    );
    #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
    {
        eprintln!("SKIP: {why}");
    }
}
