//! Any bytes as a package of apk, packed or as they are: read and linted, or refused as no package; never a panic.
#![no_main]

use std::{io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use kiln::{
    exit::{Code, code_of},
    package::lint::{LINTERS, Settings, examine_apk, lint},
};
use kiln_fuzz::repaired;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    take(bytes);
    // The first byte says how many blocks the control section has.
    let Some((blocks, sections)) = bytes.split_first() else { return };
    let (control, data) = sections.split_at(sections.len().min(512 * usize::from(*blocks)));
    take(&[gzip(&repaired(control)), gzip(&repaired(data))].concat());
});

fn take(file: &[u8]) {
    match examine_apk(file, Path::new("x.apk")) {
        Ok(apk) => {
            let settings = Settings { require: LINTERS.iter().collect(), warn: Vec::new() };
            lint(&apk.facts, apk.tests, &settings);
        }
        Err(error) => assert_eq!(code_of(&error), Code::Package, "{error:#}"),
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory is written to");
    encoder.finish().expect("memory is written to")
}
