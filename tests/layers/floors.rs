//! No file of `src/` uses another one in a circle, and the cache has floors: `dir` below `txn` below the rest.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    code,
    imports::{Source, circles},
    rust_files, source,
};

/// Which file of `src/` uses which; tests may use anything.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let files = rust_files(&["src"]).into_iter().map(|path| {
        let name = path.strip_prefix(source()).expect("it is below src").display().to_string();
        (name, code(&path))
    });
    let is_test = |name: &str| {
        let stem = name.trim_end_matches(".rs");
        name == "main.rs" || stem.ends_with("tests") || stem.ends_with("fixtures") || name.contains("/tests/")
    };
    let mut uses = Source::of(files).uses();
    uses.retain(|name, _| !is_test(name));
    uses
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let circles = circles(&uses());
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_floors_of_the_cache_know_only_those_below() {
    let floor = |file: &str| match file.strip_prefix("cache/")?.split('/').next()? {
        "dir" => Some(0),
        "txn" => Some(1),
        _ => Some(2),
    };
    let mut wrong = Vec::new();
    let uses = uses();
    for (file, used) in &uses {
        let above = |other: &&String| floor(file).zip(floor(other)).is_some_and(|(own, other)| own < other);
        wrong.extend(used.iter().filter(above).map(|other| format!("{file} uses {other}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for (upper, lower) in
        [("cache/acquire.rs", "cache/txn/recovery.rs"), ("cache/txn/merge.rs", "cache/dir/beneath.rs")]
    {
        assert!(uses[upper].contains(lower), "{upper} is not seen to use {lower}");
    }
}

#[test]
fn uses_are_resolved_to_the_file_that_defines_a_name() {
    let files = [
        ("lib.rs", "pub mod a;\nmod b;\n"),
        ("a/mod.rs", "mod c;\nmod d;\npub use c::{Thing, other as Name};\npub use self::d::*;\n"),
        ("a/c.rs", "use super::d;\nuse std::fs;\nfn f() { d::g() }\n"),
        ("a/d.rs", "pub fn g() -> crate::a::Name { super::super::b::h() }\n"),
        (
            "b.rs",
            "use crate::{\n    a::{self, Thing},\n    x::Unknown,\n};\npub(crate) use crate::a::Name;\n",
        ),
    ];
    let source = Source::of(files.map(|(name, code)| (name.to_owned(), code.to_owned())));
    let uses = source.uses();
    let of = |file: &str| uses[file].iter().map(String::as_str).collect::<Vec<&str>>();
    assert_eq!(of("a/mod.rs"), [""; 0]);
    assert_eq!(of("a/c.rs"), ["a/d.rs"]);
    assert_eq!(of("a/d.rs"), ["a/c.rs", "b.rs"]);
    assert_eq!(of("b.rs"), ["a/c.rs", "a/mod.rs", "lib.rs"]);
    let circle = ["a/c.rs", "a/d.rs", "b.rs"].map(String::from).into();
    assert_eq!(circles(&uses), [circle]);
}
