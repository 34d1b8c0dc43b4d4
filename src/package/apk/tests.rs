//! From streams to packages and the index, read back by their members.

use std::{fs, io::Read, path::Path};

use data_encoding::{BASE64, HEXLOWER};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::ApkForm;
use crate::{
    apk::{
        Algorithm, IndexArchive, SigningKey, generate_key,
        section::{self, CONTROL_MAX, DATA_MAX, Head},
    },
    compile,
    event::Event,
    exit::{Code, code_of},
    manifest,
    package::{
        Collected, Form, Job, Limits, Normalization, Package, collect,
        hostile::{Stream, archives, header, p},
    },
    pipelines::Library,
    plan::{BuildMetadata, PackagingOptions},
};

/// The build date: seconds since the epoch.
const DATE: i64 = 1_700_000_000;

fn metadata(more: &str) -> BuildMetadata {
    let text = format!(
        "package: {{name: p, version: '1.0', epoch: 0, description: the p{more}}}\npipeline: [{{runs: 'true'}}]\nsubpackages: [{{name: p-dev}}]\n"
    );
    let manifest = manifest::parse(&text, Path::new("p.yaml")).expect("it is valid");
    let options = compile::Options::new(compile::Arch::X86_64);
    let recipe = compile::compile(&manifest, &options, &Library::new([])).expect("it compiles");
    BuildMetadata::of(&recipe, "p.yaml", DATE, &PackagingOptions::default())
}

fn job(out_dir: &Path, build: BuildMetadata, key: Option<SigningKey>) -> Job {
    let form = ApkForm::new(&build, &[], key, &|text| text.to_owned());
    let packages =
        ["p", "p-dev"].map(|name| Package { name: name.into(), file_stem: format!("{name}-1.0-r0") });
    Job {
        packages: packages.to_vec(),
        normalization: Normalization { mtime: DATE, build_uid: 1000, build_gid: 1000 },
        out_dir: out_dir.to_owned(),
        limits: Limits::default(),
        form: Form::Apk(Box::new(form)),
    }
}

fn collected(stream: &[u8], more: &str, out_dir: &Path) -> anyhow::Result<Collected> {
    collect(stream, &job(out_dir, metadata(more), None))
}

/// Headers, names and contents.
type Entries = Vec<(tar::Header, String, Vec<u8>)>;

/// A package: its signature and control section, the entries of its data section, and the compressed data.
fn read(path: &Path) -> (Head, Entries, Vec<u8>) {
    let file = fs::read(path).expect("it was written");
    let mut rest = file.as_slice();
    let head = section::head(&mut rest, CONTROL_MAX).expect("a package");
    let compressed = rest.to_vec();
    let mut archive = tar::Archive::new(section::Data::new(rest, DATA_MAX));
    let entries = archive.entries().expect("a tar").map(|entry| {
        let mut entry = entry.expect("whole");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("whole");
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("UTF-8");
        (entry.header().clone(), path, content)
    });
    (head, entries.collect(), compressed)
}

fn control_text(head: &Head) -> String {
    String::from_utf8_lossy(&head.main.content).into_owned()
}

#[test]
fn a_stream_becomes_packages_and_an_index() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let stream = p().raw(b'2', b"p/d/link", b"../target", b"").raw(b'6', b"p/fifo", b"", b"").end();
    let collected = collected(&stream, "", scratch.path()).expect("accepted");
    let [main, dev] = collected.artifacts.as_slice() else { panic!("two packages") };
    assert_eq!(main.path, scratch.path().join("p-1.0-r0.apk"));
    assert_eq!(main.bytes, fs::metadata(&main.path).expect("it was written").len());
    let (head, entries, data) = read(&main.path);
    let sbom = "var/lib/db/sbom/p-1.0-r0.spdx.json";
    let names: Vec<&str> = entries.iter().map(|(_, name, _)| name.as_str()).collect();
    let directories = ["var", "var/lib", "var/lib/db", "var/lib/db/sbom"];
    assert_eq!(names[..4], ["d", "d/f", "d/link", "fifo"]);
    assert_eq!(names[4..], [&directories[..], &[sbom]].concat());
    let (file, _, content) = &entries[1];
    assert_eq!((file.uid().ok(), file.username().ok().flatten()), (Some(0), Some("root")));
    assert_eq!((file.mtime().ok(), content.as_slice()), (Some(DATE as u64), &b"content"[..]));
    assert!(head.signature.is_none());
    let text = control_text(&head);
    // Six directories and the root, the file, the target of the link, the SBOM.
    let size = 4096 * 6 + 7 + 9 + entries.last().expect("the SBOM").2.len();
    for line in
        ["pkgname = p", "pkgver = 1.0-r0", "arch = x86_64", "pkgdesc = the p", &format!("size = {size}")]
    {
        assert!(text.contains(&format!("\n{line}\n")), "{line} in {text}");
    }
    assert!(text.contains(&format!("datahash = {}\n", HEXLOWER.encode(&Sha256::digest(&data)))));

    let (_, entries, _) = read(&dev.path);
    assert_eq!(entries.len(), 5, "a package without files has its SBOM");
    let index = collected.index.expect("an index");
    assert_eq!((index.packages, &index.path), (2, &scratch.path().join("APKINDEX.tar.gz")));
    let records = records(scratch.path());
    let checksum = BASE64.encode(&Sha1::digest(&head.main.compressed));
    assert!(records.starts_with(&format!("C:Q1{checksum}\nP:p\nV:1.0-r0\nA:x86_64\nS:{}\n", main.bytes)));
    assert!(records.contains("\nP:p-dev\n"));
}

/// The records of the index in a directory.
fn records(directory: &Path) -> String {
    let bytes = super::load_index(&directory.join(super::index::FILE)).expect("readable").expect("an index");
    IndexArchive::read(&bytes).expect("valid").records
}

#[test]
fn the_same_stream_gives_the_same_bytes() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let large: Vec<u8> = (0..3 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 20) as u8).collect();
    let stream = p().file("p/large", &large).end();
    let bytes = |name: &str| {
        let directory = scratch.path().join(name);
        let collected = collected(&stream, "", &directory).expect("accepted");
        let files = collected.artifacts.iter().map(|artifact| fs::read(&artifact.path).expect("written"));
        files.chain([fs::read(directory.join("APKINDEX.tar.gz")).expect("written")]).collect::<Vec<_>>()
    };
    assert_eq!(bytes("one"), bytes("two"));
    let (_, entries, _) = read(&scratch.path().join("one/p-1.0-r0.apk"));
    assert_eq!(entries[2].2, large, "a content that was not held in memory");
}

#[test]
fn a_linter_that_a_package_disables_only_warns_of_those_after_it() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let stream = p().directory("p-dev/dev").file("p-dev/dev/null", b"").end();
    let refused = collected(&stream, "", scratch.path()).expect_err("the linter dev is required");
    assert!(refused.to_string().contains("p-dev writes to /dev"), "{refused:#}");
    let collected = collected(&stream, ", checks: {disabled: [dev]}", scratch.path()).expect("accepted");
    let told =
        |event: &Event| matches!(event, Event::Warning { text, .. } if text.contains("p-dev writes to /dev"));
    assert!(collected.remarks.iter().any(told), "{:?}", collected.remarks);
}

#[test]
fn a_package_is_signed() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("k.rsa");
    generate_key(&path, 2048).expect("a key");
    let key = SigningKey::load(&path).expect("a key");
    let public = key.public_key();
    let out_dir = scratch.path().join("out");
    let job = job(&out_dir, metadata(""), Some(key));
    collect(&*p().end(), &job).expect("accepted");
    for file in ["p-1.0-r0.apk", "APKINDEX.tar.gz"] {
        let bytes = fs::read(out_dir.join(file)).expect("written");
        let head = section::head(&mut bytes.as_slice(), CONTROL_MAX).expect("a package");
        let signature = head.signature.expect("signed");
        let signed = Sha256::digest(&head.main.compressed);
        assert!(signature.content.starts_with(b".SIGN.RSA256.k.rsa.pub\0"));
        assert!(public.verifies(Algorithm::Rsa256, &signed, &signature.content[512..768]), "{file}");
    }
}

#[test]
fn capabilities_are_records_and_a_missing_file_is_a_failure() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let setcap = ", setcap: [{path: /d/f, add: {cap_net_raw: '+ep'}, reason: x}]";
    let collected = collected(&p().end(), setcap, scratch.path()).expect("accepted");
    let file = fs::read(&collected.artifacts[0].path).expect("written");
    let mut rest = file.as_slice();
    section::head(&mut rest, CONTROL_MAX).expect("a package");
    let mut data = Vec::new();
    section::Data::new(rest, DATA_MAX).read_to_end(&mut data).expect("whole");
    let record = b"61 SCHILY.xattr.security.capability=\x01\0\0\x03\0\x20\0\0";
    assert!(data.windows(record.len()).any(|window| window == record));
    let setcap = setcap.replace("/d/f", "/usr/bin/ping");
    let missing = super::tests::collected(&p().end(), &setcap, scratch.path()).expect_err("missing");
    assert!(format!("{missing:#}").contains("package.setcap: /usr/bin/ping is not a file"), "{missing:#}");
    assert_eq!(code_of(&missing), Code::Package);
}

#[test]
fn hostile_streams_leave_nothing() {
    let unsorted = Stream::default().directory("p/").file("p/b", b"").file("p/a", b"");
    let more = [
        ("not at its place", unsorted),
        ("hard link", p().raw(b'1', b"p/h", b"p/d/f", b"")),
        ("control character", p().pax(&[("path", b"p/new\nline")]).file("x", b"")),
        ("not UTF-8", p().pax(&[("path", b"p/\xff")]).file("x", b"")),
        ("has to be a directory", p().raw(b'2', b"p/var", b"usr", b"")),
        ("character device", p().header(&header(b'3', b"p/e", b"", 0))),
    ];
    for (reason, stream) in more {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let error = collected(&stream.end(), "", scratch.path()).expect_err("refused");
        assert!(format!("{error:#}").contains(reason), "{error:#}\n  should say: {reason}");
        assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 0, "{reason}");
    }
    for (_, stream) in archives() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let error = collected(&stream.end(), "", scratch.path()).expect_err("refused");
        assert_eq!(code_of(&error), Code::Package, "{error:#}");
        assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 0, "{error:#}");
    }
}

#[test]
fn builds_that_end_at_once_lose_no_package() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let build = |round: usize, number: usize| {
        let mut job = job(scratch.path(), metadata(""), None);
        let name = format!("q{round}-{number}");
        let Form::Apk(form) = &job.form else { panic!("apk") };
        let mut build = form.build.clone();
        build.packages.truncate(1);
        build.packages[0].name.clone_from(&name);
        let form = ApkForm::new(&build, &[], None, &|text| text.to_owned());
        job.form = Form::Apk(Box::new(form));
        job.packages = vec![Package { file_stem: format!("{name}-1.0-r0"), name }];
        collect(&*Stream::default().end(), &job).expect("accepted");
    };
    for round in 0..5 {
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || build(round, number));
            }
        });
    }
    let records = records(scratch.path());
    assert_eq!(records.lines().filter(|line| line.starts_with("P:q")).count(), 40);
}
