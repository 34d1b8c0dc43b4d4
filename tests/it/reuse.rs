//! A step that opens files of the cache in every way, and the report on it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, thread, time::Duration};

/// Files that are read, and then stamped, replaced or removed, before the counter has looked. `sent` is read by sendfile(2), whose number
/// is that of x86_64.
pub(crate) const STEP: &str = r#"cd /var/cache/melange/uses
cat read >/dev/null
dd if=sought of=/dev/null bs=1 skip=5 count=1 2>/dev/null
/lib64/ld-linux-x86-64.so.2 --verify "$PWD/mapped" || :
./executed
ln linked link; cat link linked >/dev/null; rm link
: <opened
perl -e 'open I, "<", "sent"; open O, ">", "/dev/null"; syscall(40, fileno O, fileno I, 0, 9) == 9 or die $!'
(sh -c 'sleep 0.1; exec cat behind' >/dev/null &)
sleep 1000 <held >/dev/null 2>&1 &
cat stamped >/dev/null; touch stamped
touch first; cat first >/dev/null
cat replaced >/dev/null; echo other >new; mv new replaced; cat replaced >/dev/null
cat removed >/dev/null; rm removed
cp -p read copied; cat copied >/dev/null; rm copied
ls -l >/dev/null; stat looked >/dev/null; echo more >>looked
sleep 0.5"#;

/// [`STEP`] for a cache that cannot be written.
pub(crate) const STEP_RO: &str = r#"cd /var/cache/melange/uses
cat read sought linked behind stamped first replaced removed >/dev/null
./executed; : <opened; cat sent mapped >/dev/null; sleep 1000 <held >/dev/null 2>&1 &
sleep 0.5"#;

const READ: [&str; 11] = [
    "read", "sought", "linked", "opened", "sent", "behind", "held", "stamped", "first", "replaced", "removed",
];

/// Fills a cache; what the steps will read of it.
pub(crate) fn fill(cache: &Path) -> (u64, u64) {
    let uses = cache.join("uses");
    fs::create_dir_all(&uses).expect("made");
    fs::write(uses.join("looked"), "x").expect("written");
    READ.iter().enumerate().for_each(|(n, name)| {
        fs::write(uses.join(name), vec![b'x'; 100 + n]).expect("written");
    });
    fs::copy("/bin/true", uses.join("mapped")).expect("copied");
    fs::write(uses.join("executed"), "#!/bin/sh\n").expect("written");
    fs::set_permissions(uses.join("executed"), fs::Permissions::from_mode(0o755)).expect("set");
    // Longer than a tick of the kernel's clock, in which nothing can be told apart.
    thread::sleep(Duration::from_millis(20));
    let names = READ.iter().chain(&["mapped", "executed"]);
    let bytes = names.map(|name| fs::metadata(uses.join(name)).expect("there").len()).sum();
    (READ.len() as u64 + 2, bytes)
}

/// Whether it is exact, why not, and how many files and bytes.
pub(crate) type Reported = (bool, Option<String>, (u64, u64));

/// The report in the events of a build: whether the count is exact, why not, and the amount.
pub(crate) fn reported(events: &[u8]) -> Reported {
    let events = String::from_utf8_lossy(events);
    let events = events.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let report = events.into_iter().find(|event| event["event"] == "cache").expect("it is reported");
    let rows = report["directories"].as_array().expect("directories");
    let row = rows.iter().find(|row| row["name"] == "uses").expect("it is named");
    let amount = |what: &str| row["reused"][what].as_u64().expect("a number");
    let why = report["reused_why"].as_str().map(str::to_owned);
    (report["exact"].as_bool().expect("a boolean"), why, (amount("entries"), amount("bytes")))
}

/// Builds that give what is reported and what is expected, until one is counted exactly: under load a use can be seen too late
/// to be told from another one, which must be said, and never make the number larger.
pub(crate) fn is_counted(case: &str, mut build: impl FnMut() -> (Reported, (u64, u64))) {
    let mut exactly = || {
        let ((exact, why, amount), expected) = build();
        assert_eq!(exact, why.is_none(), "{case}: {why:?}");
        assert!(
            if exact { amount == expected } else { amount <= expected },
            "{case}: {amount:?}, not {expected:?}"
        );
        exact
    };
    assert!((0..3).any(|_| exactly()), "{case}: never exact");
}

/// A step that writes what is worth keeping, what is not, and what only looks like writing.
pub(crate) const WRITE: &str = r#"cd /var/cache/melange
mkdir -p pip npm/_logs; echo 12345 >pip/new; echo 1 >npm/_logs/log; echo 123 >top
echo 1 >>uses/read; touch uses/sought; : >>uses/sent; rm uses/held"#;

/// The report on writes that are thrown away: the words of the summary, and the amount in the JSON.
pub(crate) fn thrown_away(summary: &str, read_bytes: u64) {
    let expected =
        format!("thrown away {} B (uses {} B, pip 6 B, files at its top 4 B): ", read_bytes + 10, read_bytes);
    let line = summary.lines().find(|line| line.trim_start().starts_with("cache (")).expect("a summary");
    assert!(
        line.contains(&expected) && line.matches("--cache-mode commit keeps them").count() == 1,
        "{line}"
    );
}
