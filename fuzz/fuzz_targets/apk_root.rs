//! Any bytes as the sections of a package of apk: composed to an image of a root, or refused; never a panic, and never an image that
//! cannot be written.
#![no_main]

use std::io::ErrorKind;

use kiln::image::image_of_package;
use kiln_fuzz::repaired;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says how many blocks the control section has.
    let Some((blocks, sections)) = bytes.split_first() else { return };
    let (control, data) = sections.split_at(sections.len().min(512 * usize::from(*blocks)));
    take(control, data);
    take(&repaired(control), &repaired(data));
});

fn take(control: &[u8], data: &[u8]) {
    let image = tempfile::tempfile().expect("a scratch file");
    match image_of_package(control, data, &image) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidData, "{error:#}"),
    }
}
