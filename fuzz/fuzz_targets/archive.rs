//! Any bytes as the stream of a guest: accepted or refused as such, never a panic, never a file but the announced ones.
#![no_main]

use std::sync::LazyLock;

use kiln::{
    exit::{Code, code_of},
    package::{Form, Job, Limits, Normalization, Package, collect},
};
use kiln_fuzz::repaired;
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a scratch directory"));

fuzz_target!(|stream: &[u8]| {
    let packages = ["p", "p-dev"].map(|name| Package { name: name.into(), file_stem: name.into() });
    let limits = Limits { entries: 1000, bytes: 1 << 20, header_bytes: 1 << 16 };
    let normalization = Normalization { mtime: 0, build_uid: 1000, build_gid: 1000 };
    let job = Job {
        packages: packages.to_vec(),
        normalization,
        out_dir: SCRATCH.path().join("out"),
        limits,
        form: Form::TarZst,
    };
    match collect(&repaired(stream)[..], &job) {
        Ok(collected) => assert_eq!(collected.artifacts.len(), 2),
        Err(error) => assert_eq!(code_of(&error), Code::Package, "{error:#}"),
    }
    let names = |directory| std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").file_name());
    assert!(names(SCRATCH.path().to_path_buf()).eq(["out"]));
    assert!(names(SCRATCH.path().join("out")).all(|name| name == "p.tar.zst" || name == "p-dev.tar.zst"));
});
