//! The changes of each commit, and the state of an empty cache after some number of them.

use std::{fs, path::Path};

use tar::EntryType;

use crate::commit::fixture::{Seen, Upper, source};

/// So many commits later what one added is deleted.
const LIFE: u64 = 3;
/// More files than are flushed one by one.
const MANY: u64 = 70;

/// Whether another build reads while it is made.
pub(super) fn has_a_reader(number: u64) -> bool {
    number % 4 == 2
}

/// Whether it has more entries than are flushed one by one.
fn is_large(number: u64) -> bool {
    number.is_multiple_of(3)
}

/// The content of a file of a commit: of some pages, and like no other.
fn content(number: u64, file: &str) -> String {
    let length = usize::try_from(number * 7919 % 20_000).unwrap() + 1;
    format!("{file} of {number}; ").repeat(length / 10 + 1)
}

/// The content of the overlay of the build with this number.
pub(super) fn stream(number: u64) -> Vec<u8> {
    let mut upper = Upper::default();
    upper.directory("go", 0o755);
    let module = format!("go/mod@v{number}");
    upper.directory(&module, 0o555);
    upper.file(&format!("{module}/a.go"), &content(number, "a"));
    upper.directory(&format!("{module}/sub"), 0o555);
    upper.file(&format!("{module}/sub/.done"), "");
    upper.link(EntryType::Link, &format!("{module}/sub/c.go"), &format!("{module}/a.go"));
    upper.file("list", &number.to_string());
    upper.link(EntryType::Symlink, "link", &module);
    if number.is_multiple_of(2) {
        upper.directory("kind", 0o755);
        upper.file("kind/file", &content(number, "file"));
    } else {
        upper.file("kind", &content(number, "kind"));
    }
    upper.opaque("opaque");
    upper.file(&format!("opaque/{number}"), &content(number, "opaque"));
    upper.file(&source(&content(number, "source")), &content(number, "source"));
    if is_large(number) {
        upper.directory(&format!("many-{number}"), 0o755);
        for file in 0..MANY {
            upper.directory(&format!("many-{number}/{file}"), 0o755);
            upper.file(&format!("many-{number}/{file}/file"), &format!("{file} of {number}"));
        }
    }
    if let Some(old) = number.checked_sub(LIFE).filter(|old| *old > 0) {
        upper.whiteout(&format!("go/mod@v{old}"));
        upper.whiteout(&source(&content(old, "source")));
        if is_large(old) {
            upper.whiteout(&format!("many-{old}"));
        }
    }
    upper.finish()
}

/// The last commit that the cache says it holds.
pub(super) fn number(cache: &Path) -> u64 {
    match fs::read_to_string(cache.join("list")) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 0,
    }
}

/// The state of a cache after so many commits.
pub(super) fn cache_after(number: u64) -> Seen {
    let mut all = Seen::new();
    if number == 0 {
        return all;
    }
    let mut add = |path: &str, what: String| all.insert(path.into(), what);
    let file = |content: &str| format!("file 100644 {content:?}");
    let directory = |mode: u32| format!("directory 40{mode:o}");
    add("go", directory(0o755));
    add("list", file(&number.to_string()));
    add("link", format!("link to go/mod@v{number}"));
    if number.is_multiple_of(2) {
        add("kind", directory(0o755));
        add("kind/file", file(&content(number, "file")));
    } else {
        add("kind", file(&content(number, "kind")));
    }
    add("opaque", directory(0o755));
    add(&format!("opaque/{number}"), file(&content(number, "opaque")));
    for number in (number.saturating_sub(LIFE) + 1..=number).filter(|number| *number > 0) {
        let module = format!("go/mod@v{number}");
        add(&module, directory(0o555));
        add(&format!("{module}/a.go"), file(&content(number, "a")));
        add(&format!("{module}/sub"), directory(0o555));
        add(&format!("{module}/sub/.done"), file(""));
        add(&format!("{module}/sub/c.go"), file(&content(number, "a")));
        add(&source(&content(number, "source")), file(&content(number, "source")));
        if is_large(number) {
            add(&format!("many-{number}"), directory(0o755));
            for name in 0..MANY {
                add(&format!("many-{number}/{name}"), directory(0o755));
                add(&format!("many-{number}/{name}/file"), file(&format!("{name} of {number}")));
            }
        }
    }
    all
}
