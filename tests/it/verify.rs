//! Faults of a cache are found, and repaired by removing whole entries.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Output},
};

use data_encoding::{BASE64, HEXLOWER};
use flate2::{Compression, write::ZlibEncoder};
use kiln::cache::verify;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};

use crate::cache::{Bench, eventually};

/// A module's archive, and what unpacks from it: as in the unit tests.
const ZIP: &[u8] = include_bytes!("../../src/ecosystem/module.zip");
const DOWNLOAD: &str = "gomodcache/cache/download/m/@v/v1";

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn bytes(bench: &Bench, path: &str, content: &[u8]) {
    bench.write(path, "");
    fs::write(bench.cache().join(path), content).unwrap();
}

/// The paths that are compared, all of them right.
fn filled() -> (Bench, Vec<String>) {
    let bench = Bench::new();
    let mut compared = Vec::new();
    let mut add = |path: String, content: &[u8]| {
        bytes(&bench, &path, content);
        compared.push(path);
    };
    add(format!("sha256:{}", hex(&Sha256::digest(b"a source"))), b"a source");
    let sha512 = hex(&Sha512::digest(b"content"));
    let content =
        format!("npm/_cacache/content-v2/sha512/{}/{}/{}", &sha512[..2], &sha512[2..4], &sha512[4..]);
    add(content, b"content");
    add("m2repository/org/a/1/a-1.jar".into(), b"a jar");
    let cksum = hex(&Sha256::digest(b"a crate"));
    add("cargo/registry/cache/i-1/some-name-1.0.2-rc.1.crate".into(), b"a crate");
    let store = format!("git/{}", "0".repeat(64));
    let mut object = ZlibEncoder::new(Vec::new(), Compression::default());
    object.write_all(b"blob 1\0x").unwrap();
    let name = hex(&Sha1::digest(b"blob 1\0x"));
    add(format!("cargo/git/db/x-1/objects/{}/{}", &name[..2], &name[2..]), &object.finish().unwrap());
    let pack = [&b"PACK and so on"[..], &Sha1::digest(b"PACK and so on")].concat();
    add(format!("{store}/objects/pack/pack-{name}.pack"), &pack);
    let files = [("m@v1/a.go", "package m\n".repeat(20)), ("m@v1/b", "stored".to_owned())];
    let lines: String = files
        .iter()
        .map(|(name, text)| format!("{}  {name}\n", hex(&Sha256::digest(text.as_bytes()))))
        .collect();
    let hash = BASE64.encode(&Sha256::digest(lines.as_bytes()));
    add(format!("{DOWNLOAD}.ziphash"), format!("h1:{hash}").as_bytes());
    bytes(&bench, &format!("{DOWNLOAD}.zip"), ZIP);
    for (name, text) in files {
        bench.write(&format!("gomodcache/{name}"), &text);
    }
    bench.write("m2repository/org/a/1/a-1.jar.sha1", &format!("{}  a-1.jar\n", hex(&Sha1::digest(b"a jar"))));
    let head =
        "\u{3}\u{2}\0\0\0etag: x\x001.0.1\0{\"name\":\"some-name\",\"vers\":\"1.0.1\",\"cksum\":\"00\"}\0";
    let release =
        format!("1.0.2-rc.1\0{{\"name\":\"some-name\",\"vers\":\"1.0.2-rc.1\",\"cksum\":\"{cksum}\"}}\0");
    bench.write("cargo/registry/index/i-1/.cache/so/me/some-name", &(head.to_owned() + &release));
    (bench, compared)
}

#[test]
fn damage_of_every_kind_is_found_and_the_whole_entry_goes() {
    let (bench, compared) = filled();
    let verdict = verify(&bench.lease()).unwrap();
    assert_eq!((verdict.faults, verdict.compared), (Vec::new(), compared.len() as u64));

    for path in &compared {
        let file = bench.cache().join(path);
        let mut content = fs::read(&file).unwrap();
        content[2] ^= 1;
        fs::write(&file, content).unwrap();
    }
    let found = verify(&bench.lease()).unwrap();
    let mut names: Vec<&[u8]> = found.faults.iter().map(|fault| &*fault.path).collect();
    names.sort_unstable();
    let mut expected: Vec<&[u8]> = compared.iter().map(String::as_bytes).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(found.unrepaired(), compared.len());

    let mended = verify(&bench.alone()).unwrap();
    assert_eq!((mended.faults.len(), mended.unrepaired()), (compared.len(), 0));
    for path in compared.iter().map(String::as_str).chain([
        "cargo/git/db/x-1",
        "gomodcache/cache/download",
        "gomodcache/m@v1",
        "m2repository/org/a/1",
    ]) {
        assert!(!bench.has(path), "{path}");
    }
    assert!(bench.has("cargo/registry/index/i-1/.cache/so/me/some-name"));
    assert_eq!(verify(&bench.lease()).unwrap().faults, []);
    bench.is_clean();
}

#[test]
fn a_module_is_what_its_hash_says_in_the_archive_and_unpacked() {
    for damage in ["gomodcache/m@v1/b", &format!("{DOWNLOAD}.zip")] {
        let (bench, _) = filled();
        bench.write(damage, "damage");
        let found = verify(&bench.lease()).unwrap();
        assert_eq!(found.faults.len(), 1, "{damage}");
        assert_eq!(found.faults[0].path, format!("{DOWNLOAD}.ziphash").as_bytes());
        // A module that Go itself knows to be incomplete is no damage.
        bench.write(&format!("{DOWNLOAD}.partial"), "");
        let known = verify(&bench.lease()).unwrap().faults.is_empty();
        assert_eq!(known, damage.ends_with('b'), "{damage}");
    }
}

#[test]
fn repair_removes_foreign_entries_and_unfinished_ones_without_a_writer() {
    let bench = Bench::new();
    let new = format!("git/{}/.new.x", "0".repeat(64));
    for path in ["own/program", "own/stays", ".fetch.abc", &new, "npm/_cacache/tmp/1"] {
        bench.write(path, "x");
    }
    fs::set_permissions(bench.cache().join("own/program"), Permissions::from_mode(0o4755)).unwrap();
    nix::unistd::mkfifo(&bench.cache().join("own/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let root = nix::unistd::geteuid().is_root();
    if root {
        chown(bench.cache().join("own/stays"), Some(12_345), Some(12_345)).unwrap();
    }
    let own = bench.cache().join("own");
    let mode = || fs::metadata(&own).unwrap().permissions().mode() & 0o7777;
    fs::set_permissions(&own, Permissions::from_mode(0o555)).unwrap();
    bench.write(".kiln/0-0-1/tree/x", "x");
    let faults = if root { 3 } else { 2 };
    let other = bench.lease();
    let found = verify(&bench.lease()).unwrap();
    assert_eq!((found.faults.len(), found.leftovers.len()), (faults, 0));
    drop(other);
    eventually(|| verify(&bench.lease()).unwrap().leftovers.len() == 4);

    let mended = verify(&bench.alone()).unwrap();
    assert_eq!((mended.unrepaired(), mended.leftovers.len()), (0, 4));
    assert_eq!(mode(), 0o555, "what something was removed from has its mode again");
    for (path, there) in [
        ("own/fifo", false),
        ("own/program", true),
        ("own/stays", true),
        (".fetch.abc", false),
        (&new, false),
        ("npm/_cacache/tmp/1", false),
        (".kiln/0-0-1/tree/x", true),
    ] {
        assert_eq!(bench.has(path), there, "{path}");
    }
    let again = verify(&bench.lease()).unwrap();
    assert_eq!(
        (again.faults.len(), again.leftovers.len()),
        (0, 1),
        "what another home has staged is its own"
    );
}

#[test]
fn a_file_without_end_is_not_read_and_a_link_where_builds_have_a_directory_goes() {
    let (bench, compared) = filled();
    let fit = bench.lease();
    kiln::cache::mountable(&fit).unwrap();
    drop(fit);
    let hollow = compared.iter().filter(|path| !path.ends_with(".ziphash"));
    let mut faults: Vec<String> = hollow.cloned().collect();
    for path in &faults {
        // To be read it would take years.
        let file = fs::File::options().write(true).open(bench.cache().join(path)).unwrap();
        file.set_len(1 << 43).unwrap();
    }
    let unpacked = fs::File::options().write(true).open(bench.cache().join("gomodcache/m@v1/b")).unwrap();
    unpacked.set_len(1 << 43).unwrap();
    faults.push(format!("{DOWNLOAD}.ziphash"));
    bench.write("own/sparse", "x");
    fs::File::options().write(true).open(bench.cache().join("own/sparse")).unwrap().set_len(1 << 43).unwrap();
    let found = verify(&bench.alone()).unwrap();
    let said: std::collections::BTreeSet<_> =
        found.faults.iter().map(|fault| String::from_utf8_lossy(&fault.path).into_owned()).collect();
    assert_eq!(said, faults.into_iter().collect(), "a file without a checksum is no fault");
    assert_eq!(found.unrepaired(), 0);

    fs::remove_dir_all(bench.cache().join("cargo")).unwrap();
    std::os::unix::fs::symlink("/proc", bench.cache().join("cargo")).unwrap();
    kiln::cache::mountable(&bench.lease()).unwrap_err();
    assert_eq!(verify(&bench.lease()).unwrap().faults.len(), 1);
    assert_eq!(verify(&bench.alone()).unwrap().unrepaired(), 0);
    assert!(fs::symlink_metadata(bench.cache().join("cargo")).is_err());
    kiln::cache::mountable(&bench.lease()).unwrap();
}

fn run(bench: &Bench, arguments: &[&str]) -> Output {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.args(["cache", "verify", "--cache-dir"]).arg(bench.cache()).args(arguments);
    kiln.env("KILN_HOME", bench.home().root()).output().unwrap()
}

#[test]
fn the_command_ends_with_7_until_it_is_mended_and_says_it_in_json() {
    let bench = Bench::new();
    // A guest may name files as it likes.
    bench.write("sha256:\u{1b}[2J\n", "x");
    let hostile = run(&bench, &[]);
    assert!(
        !hostile.stdout.contains(&0x1b) && hostile.stdout.ends_with(b"1 fault, 0 repaired\n"),
        "{hostile:?}"
    );
    assert_eq!(run(&bench, &["--repair"]).status.code(), Some(0));
    bench.write("sha512:00", "x");
    let run = |arguments: &[&str]| {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.args(["cache", "verify", "--cache-dir"]).arg(bench.cache()).args(arguments);
        let output = kiln.env("KILN_HOME", bench.home().root()).output().unwrap();
        (
            output.status.code(),
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default(),
        )
    };
    let (code, said) = run(&["--json"]);
    let fault = serde_json::json!({"path": "sha512:00", "why": "its name says otherwise", "mended": false});
    assert_eq!((code, &said["faults"]), (Some(7), &serde_json::json!([fault])));
    let (code, said) = run(&["--json", "--repair"]);
    assert_eq!((code, &said["faults"][0]["mended"]), (Some(0), &serde_json::json!(true)));
    assert_eq!(run(&[]).0, Some(0));
    assert!(Path::new(&bench.cache()).is_dir() && !bench.has("sha512:00"));
}
