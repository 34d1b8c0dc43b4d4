//! Packages that tests make, well-formed and broken.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use super::*;
use crate::package::lint::{Settings, failure, lint};

const INFO: &str = "pkgname = a\npkgver = 1-r0\narch = x86_64\n";
const YAML: &str =
    "package:\n  name: a\n  version: 1\n  epoch: 0\ntest:\n  pipeline:\n    - uses: test/ldd-check\n";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fn header(kind: EntryType, path: &str, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(path).expect("it is short");
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size as u64);
    header.set_cksum();
    header
}

/// A section without the end of the archive, as control sections are.
fn section(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (kind, path, link, content) in entries {
        let mut header = header(*kind, path, content.len());
        if !link.is_empty() {
            header.set_link_name(link).expect("it is short");
            header.set_cksum();
        }
        archive.append(&header, *content).expect("memory can be written");
    }
    let mut bytes = archive.into_inner().expect("memory can be written");
    bytes.truncate(bytes.len() - 1024);
    bytes
}

fn apk(data: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let control = [
        (EntryType::Regular, ".PKGINFO", "", INFO.as_bytes()),
        (EntryType::Regular, ".melange.yaml", "", YAML.as_bytes()),
    ];
    [gzip(&section(&control)), gzip(&section(data))].concat()
}

fn examined(bytes: &[u8]) -> Result<LintedApk> {
    examine_apk(bytes, Path::new("a.apk"))
}

#[test]
fn a_package_is_linted() {
    let large = vec![b'x'; 2 << 20];
    let file = apk(&[
        (EntryType::Directory, "usr", "", b""),
        (EntryType::Regular, "usr/bin/x", "", b"#!/bin/bash\n"),
        (EntryType::Link, "usr/libexec/x", "usr/bin/x", b""),
        (EntryType::Symlink, "usr/lib/x.so", "nowhere", b""),
        (EntryType::Regular, "dev/x", "", &large),
        (EntryType::Regular, "var/lib/db/sbom/a-1-r0.spdx.json", "", b"{}"),
    ]);

    let LintedApk { info, facts, tests } = examined(&file).expect("it is a package");
    assert_eq!((info.version.as_str(), facts.name.as_str()), ("1-r0", "a"));
    assert_eq!(tests, Tests { is_known: true, has_ldd_check: true, has_pkgconf: false });
    let paths: Vec<&[u8]> = facts.files().iter().map(|file| &file.path[..]).collect();
    let expected = ["usr", "usr/bin/x", "usr/libexec/x", "usr/lib/x.so", "dev/x"];
    assert_eq!(paths, expected.map(str::as_bytes));
    let [_, first, second, ..] = facts.files() else { panic!("there are five") };
    assert_eq!(first.special, second.special);
    assert!(first.sha1().is_some() && first.sha1() == second.sha1() && second.size == 12);
    let failure = failure(&lint(&facts, tests, &Settings::default())).expect("dev is required");
    assert_eq!(failure.what, r#"package a: linter "dev" failed: a writes to /dev"#);
}

#[test]
fn digests_in_headers_are_no_obstacle() {
    let mut archive = Builder::new(Vec::new());
    let digest = [("APK-TOOLS.checksum.SHA1", &b"0c5cd1a198e9803f7ad43a43722d18a52d622fe0"[..])];
    archive.append_pax_extensions(digest).expect("memory can be written");
    archive.append(&header(EntryType::Regular, "x", 1), &b"x"[..]).expect("memory can be written");
    let data = archive.into_inner().expect("memory can be written");
    let control = section(&[(EntryType::Regular, ".PKGINFO", "", INFO.as_bytes())]);

    let apk = examined(&[gzip(&control), gzip(&data)].concat()).expect("it is a package");
    assert_eq!((apk.facts.files().len(), apk.tests), (1, Tests::default()));
}

#[test]
fn what_is_no_package_is_refused_by_name() {
    let control = |path: &str, content: &[u8]| gzip(&section(&[(EntryType::Regular, path, "", content)]));
    let no_data = gzip(&section(&[]));
    let device = apk(&[(EntryType::Char, "dev/null", "", b"")]);
    for (file, why) in [
        (b"no gzip".to_vec(), "a.apk: it is "),
        (
            [control("x", b""), no_data.clone()].concat(),
            "a.apk: its control section does not begin with .PKGINFO",
        ),
        ([control(".PKGINFO", b"\xff"), no_data].concat(), "a.apk: .PKGINFO is not UTF-8"),
        (apk(&[(EntryType::Link, "a", "b", b"")]), "a.apk: \"a\": its link leads nowhere"),
        (device, "a.apk: "),
    ] {
        let error = examined(&file).expect_err(why);
        let failure = error.downcast_ref::<Failure>().expect("it is a failure");
        assert_eq!(failure.code, Code::Package);
        assert!(failure.what.starts_with(why), "{}", failure.what);
    }
}

#[test]
fn a_package_that_is_cut_off_is_refused() {
    let file = apk(&[(EntryType::Regular, "usr/bin/x", "", b"content")]);
    for length in (0..file.len()).step_by(7) {
        assert!(examined(&file[..length]).is_err(), "cut to {length}");
    }
}
