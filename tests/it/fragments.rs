//! Scripts at whose end, or through whose descriptors, something could go wrong; for each backend the same.

/// Scripts that succeed, and lines that each writes.
const SCRIPTS: [(&str, &[&str]); 13] = [
    ("printf '<%s>\\n' one \\\n  two \\", &["<one>", "<two>"]),
    ("echo comment # \\", &["comment"]),
    ("echo \"not $LINENO\"\n[ -e /nowhere ] && echo there", &["not 1"]),
    ("cat <<E | cat\ntext $LINENO\nE", &["text 1"]),
    (
        "\nno-such-program || echo line $LINENO of $0 $#",
        &["line 2 of ", "/run/kiln-step: line 2: no-such-program"],
    ),
    ("set +e\necho on\nfalse", &["on"]),
    ("trap 'echo trapped $?' EXIT", &["trapped 0"]),
    ("echo left; exit 0; echo too far", &["left"]),
    ("echo returned; return 0\necho too far; exit 9", &["returned"]),
    ("exec echo replaced", &["replaced"]),
    ("ls /proc/self/fd | tr '\\n' ' '; echo; cat", &["0 1 2 3 "]),
    ("echo out > /dev/stdout; echo err > /dev/stderr; echo fd > /proc/self/fd/2", &["out", "err", "fd"]),
    (
        "echo tee | tee /dev/stderr >/dev/null; perl -e 'open F, \">\", \"/dev/stderr\" or die; print F \"perl\\n\"'",
        &["tee", "perl"],
    ),
];

/// Another user than the step's own, who opens the streams of the step, where root may become one.
const OTHER_USER: &str = "id
if [ $(id -u) = 0 ] && setpriv --reuid 1000 --clear-groups true; then
  su build -c 'id -u; echo su > /dev/stdout; echo su > /dev/stderr; echo su | tee /dev/stderr >/dev/null'
  setpriv --reuid 4242 --clear-groups sh -c 'echo setpriv > /dev/stderr'
fi";

/// More than the kernel takes as one argument (128 KiB).
const LONG: usize = 300 << 10;

/// All of them, as steps of one build.
pub(crate) fn steps() -> Vec<String> {
    let padding = "# A comment that makes the script long, and nothing else.\n";
    let long = padding.repeat(LONG / padding.len()) + "echo the end of $LINENO";
    SCRIPTS.iter().map(|(script, _)| (*script).to_owned()).chain([OTHER_USER.to_owned(), long]).collect()
}

/// Whether what `--progress plain` said of them is right.
pub(crate) fn check(said: &str) {
    let lines: Vec<&str> =
        said.lines().filter_map(|line| line.split_once("] ")).map(|(_, text)| text).collect();
    let count = |wanted: &str| lines.iter().filter(|line| line.starts_with(wanted)).count();
    for wanted in SCRIPTS.iter().flat_map(|(_, lines)| *lines) {
        assert!(count(wanted) > 0, "no {wanted:?} in {said}");
    }
    assert!(count("the end of 5") > 0, "{said}");
    assert_eq!(count("<"), 2, "{said}");
    let became_another = count("setpriv");
    assert_eq!(count("su"), 3 * became_another, "{said}");
    for never in ["too far", "there", "exit", ":"] {
        assert!(!lines.contains(&never), "{never:?} in {said}");
    }
}
