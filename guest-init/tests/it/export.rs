//! Exports of an odd tree, read by another tar reader.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{PermissionsExt, chown, symlink},
        net::UnixListener,
    },
    path::Path,
};

use kiln_protocol::{FromGuest, LinkScope, ToGuest};
use tar::EntryType;

use crate::{
    agent::{Agent, is_root, skip},
    archive::{entry, exported, read},
};

fn export(root: &Path) -> (Vec<u8>, u64) {
    exported(&mut Agent::start(), &request(root, LinkScope::Stream))
}

fn request(root: &Path, links: LinkScope) -> ToGuest {
    ToGuest::Export { root: root.to_string_lossy().into_owned(), links }
}

#[test]
fn names_of_any_bytes_and_length_are_exported_in_order() {
    let root = tempfile::tempdir().expect("a directory");
    let deep = ["d".repeat(200), "e".repeat(200)].join("/");
    fs::create_dir_all(root.path().join(&deep)).expect("made");
    let raw = std::ffi::OsString::from_vec(b"raw \xff\xfe".to_vec());
    for name in ["new\nline", "uml\u{e4}ut", " spaces ", "z"] {
        fs::write(root.path().join(name), name).expect("written");
    }
    fs::write(root.path().join(&raw), "raw").expect("written");
    fs::write(root.path().join(&deep).join("file"), "deep").expect("written");

    let (archive, entries) = export(root.path());
    let seen = read(&archive);
    let file = format!("{deep}/file");
    let names: Vec<&[u8]> = seen.iter().map(|(name, _)| name.strip_suffix(b"/").unwrap_or(name)).collect();
    let expected = [
        " spaces ".as_bytes(),
        &deep.as_bytes()[..200],
        deep.as_bytes(),
        file.as_bytes(),
        b"new\nline",
        raw.as_bytes(),
        "uml\u{e4}ut".as_bytes(),
        b"z",
    ];
    assert_eq!(names, expected);
    assert_eq!(entries, 8);
    assert_eq!(entry(&seen, file.as_bytes()).content, b"deep");
    assert_eq!(entry(&seen, b"new\nline").content, b"new\nline");
}

#[test]
fn kinds_modes_links_and_times_are_exported() {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    fs::write(path("a"), "content").expect("written");
    fs::set_permissions(path("a"), fs::Permissions::from_mode(0o4751)).expect("set");
    fs::hard_link(path("a"), path("b")).expect("linked");
    symlink("../../etc/passwd", path("link")).expect("linked");
    fs::hard_link(path("link"), path("link-again")).expect("linked");
    symlink("x".repeat(300), path("long-link")).expect("linked");
    fs::create_dir(path("sticky")).expect("made");
    fs::set_permissions(path("sticky"), fs::Permissions::from_mode(0o1777)).expect("set");
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("made");
    let _listener = UnixListener::bind(path("socket")).expect("bound");
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    File::options().write(true).open(path("a")).and_then(|file| file.set_modified(time)).expect("set");

    let (archive, entries) = export(root.path());
    let seen = read(&archive);
    assert_eq!(entries, 7, "the socket is skipped");
    let first = entry(&seen, b"a");
    assert_eq!(
        (first.kind, first.mode, first.content.as_slice()),
        (EntryType::Regular, 0o4751, b"content".as_slice())
    );
    assert_eq!(first.pax["mtime"], b"1000000000.123456789");
    let second = entry(&seen, b"b");
    assert_eq!((second.kind, second.link.as_deref()), (EntryType::Link, Some(b"a".as_slice())));
    assert_eq!(entry(&seen, b"link").link.as_deref(), Some(b"../../etc/passwd".as_slice()));
    let again = entry(&seen, b"link-again");
    assert_eq!(
        (again.kind, again.link.as_deref()),
        (EntryType::Symlink, Some(b"../../etc/passwd".as_slice()))
    );
    assert_eq!(entry(&seen, b"long-link").link.as_deref(), Some("x".repeat(300).as_bytes()));
    assert_eq!((entry(&seen, b"sticky").kind, entry(&seen, b"sticky").mode), (EntryType::Directory, 0o1777));
    assert_eq!(entry(&seen, b"fifo").kind, EntryType::Fifo);
}

#[test]
fn a_file_with_names_in_several_packages_is_complete_in_each() {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    for package in ["a", "b", "c"] {
        fs::create_dir_all(path(package).join("deep")).expect("made");
    }
    fs::write(path("a/one"), "content").expect("written");
    for name in ["a/two", "b/deep/three", "b/four", "c/five"] {
        fs::hard_link(path("a/one"), path(name)).expect("linked");
    }
    let kinds = |links| {
        let (archive, _) = exported(&mut Agent::start(), &request(root.path(), links));
        let seen = read(&archive);
        ["a/one", "a/two", "b/deep/three", "b/four", "c/five"].map(|name| {
            let found = entry(&seen, name.as_bytes());
            let link = found.link.as_deref().map(|link| String::from_utf8_lossy(link).into_owned());
            assert_eq!(found.content, if link.is_none() { &b"content"[..] } else { b"" }, "{name}");
            link
        })
    };
    let [first, third] = ["a/one", "b/deep/three"].map(|name| Some(name.to_owned()));
    let (one, b) = (|| first.clone(), || third.clone());
    assert_eq!(kinds(LinkScope::Stream), [None, one(), one(), one(), one()]);
    assert_eq!(kinds(LinkScope::Child), [None, one(), None, b(), None]);
    assert_eq!(kinds(LinkScope::None), [None, None, None, None, None]);
}

#[test]
fn owners_capabilities_and_attributes_are_exported() {
    if !is_root() {
        return skip("owners and file capabilities need root");
    }
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("file");
    fs::write(&path, "x").expect("written");
    chown(&path, Some(1000), Some(3_000_000_000)).expect("given");
    let value = b"any\0bytes\n\xff";
    if xattr::set(&path, "user.kiln", value).is_err() {
        return skip("the file system of the temporary directory has no extended attributes");
    }
    // cap_net_raw=ep, revision 2 (linux/capability.h).
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(&path, "security.capability", &capability).expect("set");
    let (archive, _) = export(root.path());
    let seen = read(&archive);
    let file = entry(&seen, b"file");
    assert_eq!(file.owner.0, 1000);
    assert_eq!(file.pax["gid"], b"3000000000");
    assert_eq!(file.pax["SCHILY.xattr.user.kiln"], value);
    assert_eq!(file.pax["SCHILY.xattr.security.capability"], capability);
}

#[test]
fn a_sparse_file_is_exported_completely() {
    let root = tempfile::tempdir().expect("a directory");
    let mut file = File::create(root.path().join("sparse")).expect("made");
    file.seek(SeekFrom::Start(3_000_000)).and_then(|_| file.write(b"middle")).expect("written");
    file.set_len(5_000_001).expect("set");
    let (archive, _) = export(root.path());
    let seen = read(&archive);
    let mut expected = vec![0; 5_000_001];
    expected[3_000_000..3_000_006].copy_from_slice(b"middle");
    assert!(entry(&seen, b"sparse").content == expected);
}

#[test]
fn a_cancel_stops_an_export_that_is_not_read() {
    let root = tempfile::tempdir().expect("a directory");
    // Far more than the channel and the queue take; a hole occupies no space.
    File::create(root.path().join("huge")).and_then(|file| file.set_len(1 << 40)).expect("made");
    let mut agent = Agent::start();
    agent.send(&request(root.path(), LinkScope::Stream));
    assert!(matches!(agent.recv(), Some(FromGuest::Data(_))));
    agent.send(&ToGuest::Cancel);
    let last = std::iter::from_fn(|| agent.recv()).last();
    assert_eq!(last, Some(FromGuest::Failed { why: "the export was cancelled".into() }));
}

#[test]
fn a_missing_root_fails_by_name() {
    let mut agent = Agent::start();
    agent.send(&request(Path::new("/missing"), LinkScope::Stream));
    let why = "export /missing: ENOENT: No such file or directory".to_owned();
    assert_eq!(agent.recv(), Some(FromGuest::Failed { why }));
    assert_eq!(agent.recv(), None);
}

#[test]
fn a_small_file_is_sent_in_pieces_and_another_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let text: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
    fs::write(root.path().join("COPYING"), &text).expect("written");
    let request = |path: &str| ToGuest::ReadFile {
        root: root.path().to_string_lossy().into_owned(),
        path: path.to_owned(),
    };
    let mut agent = Agent::start();
    agent.send(&request("../COPYING"));
    let refused = agent.recv();
    assert!(
        matches!(&refused, Some(FromGuest::FileRefused { why }) if why.contains("../COPYING")),
        "{refused:?}"
    );
    agent.send(&request("COPYING"));
    let mut content = Vec::new();
    loop {
        match agent.recv() {
            Some(FromGuest::Data(bytes)) => content.extend(bytes),
            Some(FromGuest::FileRead { bytes }) => break assert_eq!(bytes as usize, text.len()),
            other => panic!("the file was answered with {other:?}"),
        }
    }
    assert_eq!(content, text);
}
