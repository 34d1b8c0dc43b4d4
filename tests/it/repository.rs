//! `kiln keygen`, `sign`, `sign-index` and `index`, with openssl as the judge of signatures.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use kiln::apk::{Index, IndexArchive, PackageHead};

use super::skip::skip;

/// A directory to work in, with a pair of keys.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { root: tempfile::tempdir().unwrap() };
        place.ok(&["keygen", "key.rsa", "--key-size", "2048"]);
        place
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn kiln(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.env("KILN_HOME", self.at("home"));
        command.args(arguments).current_dir(self.root.path()).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.kiln(arguments);
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap()
    }

    /// The exit code and the message of a command that fails.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let Output { status, stderr, .. } = self.kiln(arguments);
        assert!(!status.success(), "{arguments:?}");
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// Writes a package without a signature, and returns its bytes.
    fn package(&self, name: &str, version: &str, arch: &str) -> Vec<u8> {
        let info = format!(
            "pkgname = {name}\npkgver = {version}\narch = {arch}\nsize = 7\nlicense = MIT\nbuilddate = 9\n"
        );
        let control = gzip(&tar(".PKGINFO", info.as_bytes(), 77));
        let package = [control, gzip(&tar("file", b"content", 77))].concat();
        fs::write(self.at(&format!("{name}-{version}.apk")), &package).unwrap();
        package
    }

    fn index(&self, path: &str) -> IndexArchive<'static> {
        let file: &[u8] = fs::read(self.at(path)).unwrap().leak();
        IndexArchive::read(file).unwrap()
    }

    /// The names and versions of an index.
    fn records(&self, path: &str) -> Vec<String> {
        let index = self.index(path);
        let parsed = Index::parse(&index.records).unwrap();
        parsed.records.iter().map(|record| format!("{}-{}", record.name, record.version)).collect()
    }

    /// Whether openssl verifies the signature in front of `signed` by the key's public half.
    fn openssl_verifies(&self, file: &[u8], signed: &[u8]) -> bool {
        let mut tar = Vec::new();
        GzDecoder::new(file).read_to_end(&mut tar).unwrap();
        assert!(tar.starts_with(b".SIGN.RSA256.key.rsa.pub\0"));
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut signature = Vec::new();
        archive.entries().unwrap().next().unwrap().unwrap().read_to_end(&mut signature).unwrap();
        fs::write(self.at("signature"), signature).unwrap();
        fs::write(self.at("signed"), signed).unwrap();
        let line = "dgst -sha256 -verify key.rsa.pub -signature signature signed";
        let mut openssl = Command::new("openssl");
        openssl.args(line.split(' ')).current_dir(self.root.path()).output().unwrap().status.success()
    }
}

fn tar(name: &str, content: &[u8], mtime: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(mtime);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, name, content).unwrap();
    let whole = builder.into_inner().unwrap();
    // The control section of a package has no blocks of zeros at its end.
    whole[..whole.len() - 1024].to_vec()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn head(path: &Path) -> PackageHead {
    PackageHead::read(&mut fs::read(path).unwrap().as_slice()).unwrap()
}

#[test]
fn keygen_overwrites_nothing() {
    let place = Place::new();
    let mode = |path: &str| fs::metadata(place.at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("key.rsa"), mode("key.rsa.pub") & 0o444), (0o600, 0o444));
    let (code, message) = place.fails(&["keygen", "key.rsa"]);
    assert_eq!(code, 4);
    assert!(message.contains("key.rsa exists"), "{message}");
    let (code, message) = place.fails(&["keygen", "other", "--key-size", "1024"]);
    assert_eq!(code, 2);
    assert!(message.contains("key size is less than 2048 bits, this is not considered safe"), "{message}");
    assert!(!place.at("other").exists());
}

#[test]
fn a_package_is_signed_in_its_place() {
    let place = Place::new();
    let unsigned = place.package("a", "1-r0", "x86_64");
    let path = place.at("a-1-r0.apk");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    place.ok(&["sign", "-k", "key.rsa", "a-1-r0.apk"]);
    let signed = fs::read(&path).unwrap();
    assert!(signed.len() > unsigned.len() && signed.ends_with(&unsigned));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(head(&path).mtime, 77);
    // Signing anew replaces the signature, with the same bytes.
    place.ok(&["sign", "-k", "key.rsa", "a-1-r0.apk"]);
    assert_eq!(fs::read(&path).unwrap(), signed);
    fs::write(place.at("bad.apk"), "no package").unwrap();
    let (code, message) = place.fails(&["sign", "-k", "key.rsa", "bad.apk"]);
    assert_eq!(code, 8, "{message}");
    assert!(message.contains("bad.apk is no package"), "{message}");
    assert_eq!(fs::read(place.at("bad.apk")).unwrap(), b"no package");
    fs::set_permissions(place.at("key.rsa"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(place.ok(&["sign", "-k", "key.rsa", "a-1-r0.apk"]).contains("chmod 600"));
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("openssl is not installed");
    }
    assert!(place.openssl_verifies(&signed, &head(&path).control));
}

#[test]
fn an_index_is_made_merged_and_signed() {
    let place = Place::new();
    let package = place.package("a", "1-r0", "x86_64");
    place.package("b", "2-r0", "x86_64");
    place.package("c", "1-r0", "aarch64");
    assert!(place.ok(&["index", "-o", "i.tar.gz", "b-2-r0.apk", "a-1-r0.apk"]).contains("2 packages"));
    assert_eq!(place.records("i.tar.gz"), ["b-2-r0", "a-1-r0"]);
    let index = place.index("i.tar.gz");
    assert!(index.signature.is_none() && index.description.is_empty());
    let parsed = Index::parse(&index.records).unwrap();
    let a = parsed.records[1];
    assert_eq!(
        (a.size, a.installed_size, a.license, a.build_time),
        (package.len() as u64, 7, "MIT", Some(9))
    );
    assert_eq!(a.control_sha1().unwrap(), head(&place.at("a-1-r0.apk")).control_sha1());
    // Merged: the source is that of -s, not that of -o.
    place.package("a", "2-r0", "x86_64");
    place.ok(&["index", "-m", "-o", "i.tar.gz", "a-2-r0.apk"]);
    assert_eq!(place.records("i.tar.gz"), ["a-2-r0"], "./APKINDEX.tar.gz is missing");
    place.ok(&["index", "b-2-r0.apk", "a-1-r0.apk"]);
    place.ok(&["index", "-m", "-s", "APKINDEX.tar.gz", "-o", "out/i.tar.gz", "a-2-r0.apk", "b-2-r0.apk"]);
    assert_eq!(place.records("out/i.tar.gz"), ["b-2-r0", "a-1-r0", "a-2-r0"]);
    let told = place.ok(&["index", "-a", "x86_64", "-o", "i.tar.gz", "c-1-r0.apk", "a-1-r0.apk"]);
    assert!(told.contains("c-1-r0.apk is left out"), "{told}");
    assert_eq!(place.records("i.tar.gz"), ["a-1-r0"]);
    // Signed at once, later, and anew.
    place.ok(&["index", "--signing-key", "key.rsa", "-o", "s.tar.gz", "a-1-r0.apk"]);
    let unsigned = fs::read(place.at("i.tar.gz")).unwrap();
    place.ok(&["sign-index", "--signing-key", "key.rsa", "i.tar.gz"]);
    let signed = fs::read(place.at("i.tar.gz")).unwrap();
    assert_eq!(fs::read(place.at("s.tar.gz")).unwrap(), signed);
    assert!(signed.ends_with(&unsigned) && place.index("i.tar.gz").signature.is_some());
    let told = place.ok(&["sign-index", "--signing-key", "key.rsa", "i.tar.gz"]);
    assert!(told.contains("already signed, doing nothing"), "{told}");
    place.ok(&["sign-index", "--signing-key", "key.rsa", "-f", "i.tar.gz"]);
    assert_eq!(fs::read(place.at("i.tar.gz")).unwrap(), signed);
    let (code, message) = place.fails(&["sign-index", "--signing-key", "key.rsa", "none.tar.gz"]);
    assert_eq!(code, 4);
    assert!(message.contains("the index none.tar.gz is missing"), "{message}");
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("openssl is not installed");
    }
    assert!(place.openssl_verifies(&signed, &unsigned));
    assert!(!place.openssl_verifies(&signed, &unsigned[1..]));
}

#[test]
fn indexes_that_are_merged_at_once_lose_no_package() {
    let place = Place::new();
    let names: Vec<String> = (0..8).map(|at| format!("p{at}")).collect();
    for name in &names {
        place.package(name, "1-r0", "x86_64");
    }
    thread::scope(|scope| {
        for name in &names {
            let file = format!("{name}-1-r0.apk");
            let place = &place;
            scope.spawn(move || place.ok(&["index", "-m", "--signing-key", "key.rsa", &file]));
        }
    });
    let mut records = place.records("APKINDEX.tar.gz");
    records.sort();
    let expected: Vec<String> = names.iter().map(|name| format!("{name}-1-r0")).collect();
    assert_eq!(records, expected);
    let left: Vec<_> =
        fs::read_dir(place.root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 8 + 3, "no other file is left: {left:?}");
}

#[test]
fn a_package_that_was_cut_off_is_not_signed() {
    let place = Place::new();
    let data = gzip(&tar("file", b"content", 77));
    // SHA-256 of the compressed data, by another program.
    fs::write(place.at("data"), &data).unwrap();
    let Ok(sum) = Command::new("sha256sum").arg(place.at("data")).output() else {
        return skip("sha256sum is not installed");
    };
    let sum = String::from_utf8(sum.stdout).unwrap();
    let sum = sum.split(' ').next().unwrap();
    let info = format!("pkgname = a\npkgver = 1-r0\narch = x86_64\ndatahash = {sum}\n");
    let control = gzip(&tar(".PKGINFO", info.as_bytes(), 77));
    let whole = [control.as_slice(), &data].concat();
    for (file, is_whole) in [(&whole[..], true), (&whole[..whole.len() - 9], false), (&control, false)] {
        fs::write(place.at("a.apk"), file).unwrap();
        if is_whole {
            place.ok(&["sign", "-k", "key.rsa", "a.apk"]);
            assert!(fs::read(place.at("a.apk")).unwrap().ends_with(file));
            continue;
        }
        let (code, message) = place.fails(&["sign", "-k", "key.rsa", "a.apk"]);
        assert_eq!(code, 8, "{message}");
        assert!(message.contains("a.apk") && message.contains("datahash"), "{message}");
        assert_eq!(fs::read(place.at("a.apk")).unwrap(), file);
    }
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let place = Place::new();
    place.package("a", "1-r0", "x86_64");
    nix::unistd::mkfifo(&place.at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(place.at("dir")).unwrap();
    for odd in ["pipe", "dir"] {
        for command in [
            &["index", "-o", "i.tar.gz", odd][..],
            &["index", "-o", "i.tar.gz", "-m", "-s", odd, "a-1-r0.apk"],
            &["sign", "-k", "key.rsa", odd],
            &["sign-index", "--signing-key", "key.rsa", odd],
            &["lint", odd],
        ] {
            let (code, message) = place.fails(command);
            assert_eq!(code, 4, "{command:?}: {message}");
            assert!(message.contains(odd) && message.contains("is not a regular file"), "{message}");
        }
    }
    assert!(!place.at("i.tar.gz").exists());
}

#[test]
fn a_damaged_index_is_not_signed_and_ends_a_build_before_it_begins() {
    let place = Place::new();
    let text = "package: {name: a, version: 1, epoch: 0}\npipeline: [{runs: touch begun}]\n";
    fs::write(place.at("a.yaml"), text).unwrap();
    let directory = place.at("packages").join(kiln::compile::Arch::host().unwrap().apk());
    fs::create_dir_all(&directory).unwrap();
    let index = directory.join("APKINDEX.tar.gz");
    let odd = gzip(&tar("APKINDEX", b"no record\n", 0));
    for (content, part) in [(&b"no index"[..], "it is cut off"), (odd.as_slice(), "line 1")] {
        fs::write(&index, content).unwrap();
        let (code, message) = place.fails(&["build", "a.yaml"]);
        assert_eq!(code, 4, "{message}");
        assert!(message.contains(part) && message.contains("kiln index -o FILE"), "{message}");
        let (code, message) =
            place.fails(&["sign-index", "--signing-key", "key.rsa", index.to_str().unwrap()]);
        assert_eq!(code, 4, "{message}");
        assert!(message.contains(part), "{message}");
        assert_eq!(fs::read(&index).unwrap(), content);
    }
}
