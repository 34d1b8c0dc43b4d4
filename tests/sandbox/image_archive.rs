//! An image that is taken to another machine: its root is the same there, under the same name.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use super::{apk_repository::BUSYBOX, command, composed_root, has_bwrap, project, said, skip};

/// Directories that every image has empty, and that are made anew.
const EMPTY: [&str; 5] = ["./dev", "./proc", "./sys", "./run", "./tmp"];

fn kiln(home: &Path, arguments: &[&str]) -> Output {
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.args(["image"]).args(arguments).env("KILN_HOME", home).output().expect("kiln can be started")
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

/// The only image of a home: its key, and what `image ls` says of its origin.
fn image(home: &Path) -> (String, Value) {
    let output = kiln(home, &["ls", "--json"]);
    done(&output);
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut images = rows.iter().filter(|row| row["kind"] == "image");
    let (Some(image), None) = (images.next(), images.next()) else { panic!("{rows:?}") };
    (image["key"].as_str().expect("a key").into(), image["packages"].clone())
}

/// All entries of an archive: name, type, mode, owners, time, size, target and content.
fn entries(file: &Path) -> Vec<String> {
    let tar = zstd::decode_all(fs::File::open(file).expect("written")).expect("zstd");
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut lines = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        // It says when the image was made.
        if entry.header().entry_type() == tar::EntryType::XGlobalHeader {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let attributes: Vec<String> = entry
            .pax_extensions()
            .expect("records")
            .into_iter()
            .flatten()
            .map(|record| String::from_utf8_lossy(record.expect("a record").value_bytes()).into_owned())
            .collect();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("read");
        let header = entry.header();
        let numbers = (header.mode().ok(), header.uid().ok(), header.gid().ok());
        let time = header.mtime().ok().filter(|_| !EMPTY.contains(&path.as_str()) && path != ".");
        let link = header.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        let sum = content.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        lines.push(format!(
            "{path} {:?} {numbers:?} {time:?} {link:?} {attributes:?} {} {sum}",
            header.entry_type(),
            content.len()
        ));
    }
    lines
}

#[test]
fn an_exported_image_is_the_same_in_another_store() {
    if !has_bwrap() {
        return;
    }
    if !Path::new(BUSYBOX).exists() {
        return skip("there is no busybox for a root");
    }
    let (directory, project) = project();
    let at = |name: &str| directory.path().join(name);
    composed_root::write(&project);
    let build = |home: &Path, more: &[&str]| {
        let mut kiln = command(&project, "root", &[&composed_root::look()], &composed_root::FLAGS);
        kiln.args(more).env("KILN_HOME", home).output().expect("kiln can be started")
    };
    done(&build(&at("one"), &[]));
    let (key, packages) = image(&at("one"));
    let (archive, again) = (at("image.tar.zst"), at("again.tar.zst"));
    let (archive_text, again_text) = (archive.display().to_string(), again.display().to_string());
    done(&kiln(&at("one"), &["export", &key[..12], &archive_text]));
    done(&kiln(&at("two"), &["import", &archive_text]));
    assert_eq!(image(&at("two")), (key.clone(), packages));
    done(&kiln(&at("two"), &["export", &key, &again_text]));
    assert_eq!(entries(&archive), entries(&again));
    assert!(entries(&archive).len() > 500, "all kinds of files are in it");

    let output = kiln(&at("two"), &["import", &archive_text]);
    done(&output);
    assert!(said(&output).contains("already"), "{}", said(&output));
    // The root is there: no package is looked at.
    composed_root::check(&build(&at("two"), &[]));
    assert!(fs::read_dir(at("two/apk/data")).is_err(), "no package was unpacked");

    // A part of an archive leaves nothing.
    let whole = fs::read(&archive).expect("read");
    fs::write(&archive, &whole[..whole.len() - 100]).expect("written");
    let output = kiln(&at("three"), &["import", &archive_text]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let left =
        fs::read_dir(at("three/images")).expect("made").map(|entry| entry.expect("listed").file_name());
    let left: Vec<_> = left.filter(|name| !name.to_string_lossy().ends_with(".lock")).collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
}
