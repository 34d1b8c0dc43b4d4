//! Steps that fail, each for a reason that kiln can name; the same for each backend.

/// A build with one step that fails.
pub(crate) struct Case {
    pub(crate) script: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// Texts in the error.
    said: &'static [&'static str],
    /// Texts that are not in it.
    unsaid: &'static [&'static str],
}

/// Takes memory until there is none.
pub(crate) const EAT: &str = "perl -e 'push @taken, q(x) x (1 << 20) while 1'";

/// Asks for the address of a name.
const RESOLVE: &str = "perl -e 'use Socket qw(getaddrinfo); ($why) = getaddrinfo(q(a.invalid), 80); warn qq(tool: $why\n); exit 1'";

const NETWORK: &str = "the network is off";
const MEMORY: &str = "for want of memory:";
const PROGRAM: &str = "environment.contents.packages";

pub(crate) const CASES: [Case; 9] = [
    Case {
        script: "optional-tool || echo left out; no-such-tool --version",
        arguments: &[],
        said: &["exited with status 127", "`no-such-tool` is no program of the image", PROGRAM],
        unsaid: &["`optional-tool`", NETWORK, MEMORY],
    },
    Case {
        script: "./there-is-none",
        arguments: &[],
        said: &["`./there-is-none` is not there, or the interpreter", PROGRAM],
        unsaid: &[],
    },
    Case {
        script: "printf '#!/no/such/interpreter\n' > tool; chmod +x tool; ./tool",
        arguments: &[],
        said: &["`./tool` is not there, or the interpreter"],
        unsaid: &[],
    },
    // A guest may write what it likes.
    Case {
        script: "printf '/run/kiln-step: line 1: \\033[2J$(id): command not found\\n' >&2; exit 127",
        arguments: &[],
        said: &["status 127 says as a rule", PROGRAM],
        unsaid: &["`$(id)`", "is no program"],
    },
    Case {
        script: "echo true > tool; ./tool",
        arguments: &[],
        said: &["exited with status 126", "`./tool` has no permission to be executed", "chmod +x ./tool"],
        unsaid: &[PROGRAM],
    },
    Case {
        script: "kill -9 $$",
        arguments: &[],
        said: &["(status 137)", "a process was ended by SIGKILL"],
        unsaid: &[MEMORY, "raise"],
    },
    Case {
        script: RESOLVE,
        arguments: &["--network", "off"],
        said: &["exited with status 1", "it may have wanted to download", NETWORK, "kiln update-cache"],
        unsaid: &[PROGRAM],
    },
    Case {
        script: "echo a test failed; exit 1",
        arguments: &["--network", "off"],
        said: &["exited with status 1"],
        unsaid: &[NETWORK, PROGRAM, MEMORY, "no space"],
    },
    Case {
        script: "echo ': No space left on device'; exit 1",
        arguments: &[],
        said: &["a program found no room"],
        unsaid: &["no space is left"],
    },
];

/// The error at the end of what `--progress plain` said.
pub(crate) fn error_of(said: &str) -> &str {
    said.split("\nerror: ").nth(1).unwrap_or_else(|| panic!("no error: {said}"))
}

/// Whether what `--progress plain` said is right.
pub(crate) fn check(case: &Case, said: &str) {
    let Case { script, arguments, said: wanted, unsaid } = case;
    let error = error_of(said);
    assert!(error.starts_with("file.yaml:"), "{script} {arguments:?}: {error}");
    for part in *wanted {
        assert!(error.contains(part), "{script} {arguments:?}: no {part:?} in {error}");
    }
    for part in *unsaid {
        assert!(!error.contains(part), "{script} {arguments:?}: {part:?} in {error}");
    }
}
