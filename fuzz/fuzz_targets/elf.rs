//! Any bytes as a file of a package, at a place where it is looked at: never a panic, and little is kept of it.
#![no_main]

use std::{io::Cursor, sync::Arc};

use kiln::package::{
    dependencies::{Analysis, Declared},
    facts::{FileFacts, Kind, PackageFacts, examine},
    lint::{LINTERS, Settings, Tests, lint},
};
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 6] =
    ["usr/lib/x.so", "usr/bin/x", "boot/x", "lib/modules/x", "usr/lib/pkgconfig/x.pc", "etc/ld.so.conf.d/x.conf"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, content)) = bytes.split_first() else { return };
    let path = PATHS[usize::from(*first) % PATHS.len()];
    let size = content.len() as u64;
    let special = examine(path.as_bytes(), &mut Cursor::new(content), size).expect("memory is read").map(Arc::from);
    let kind = Kind::Regular { sha1: None };
    let mut package = PackageFacts::new("x");
    package.push(FileFacts { path: path.as_bytes().into(), kind, mode: 0o755, size, special }).expect("one file is small");
    let settings = Settings { require: LINTERS.iter().collect(), warn: Vec::new() };
    lint(&package, Tests::default(), &settings);
    let packages = [package];
    let found = Analysis::new(&packages, "1-r0", None).generate(0, &Declared::default());
    for text in found.depends.iter().chain(&found.provides).chain(&found.vendored) {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
});
