//! Any text as a build file: it is read or refused.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(faults) = kiln::manifest::parse(text, Path::new("fuzz.yaml")) {
        drop(faults.to_string());
    }
});
