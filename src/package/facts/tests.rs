//! Facts of real files: those that the cases of packages are made of.

use std::{fs, io::Cursor, path::Path};

use super::*;

/// A file of a case below `tests/apk/cases`.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk/cases").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn special(path: &str, content: &[u8]) -> Option<Special> {
    let size = content.len() as u64;
    examine(path.as_bytes(), &mut Cursor::new(content), size).expect("memory can be read").map(|boxed| *boxed)
}

fn elf(name: &str) -> Elf {
    let special = special("usr/lib/x", &fixture(name)).expect("it is special");
    special.elf.expect("it is ELF").expect("it can be read")
}

fn names(names: &[Box<[u8]>]) -> Vec<&str> {
    names.iter().map(|name| str::from_utf8(name).expect("it is text")).collect()
}

#[test]
fn an_entry_takes_64_bytes() {
    assert_eq!(size_of::<FileFacts>(), 64);
}

#[test]
fn a_program_has_a_loader_and_needs_libraries() {
    let elf = elf("shlib/src/usefoo");

    assert_eq!(elf.machine.name(), "amd64");
    assert_eq!(elf.interpreter.as_deref(), Some(&b"/lib64/ld-linux-x86-64.so.2"[..]));
    assert_eq!(names(&elf.needed), ["libfoo.so.1", "libc.so.6"]);
    assert!(elf.sonames.is_empty() && !elf.dynamic_is_broken && !elf.is_unstripped && !elf.loads_openssl);
}

#[test]
fn a_library_has_a_name() {
    assert_eq!(names(&elf("shlib/src/libfoo.so.1.2.3").sonames), ["libfoo.so.1"]);
    assert_eq!(names(&elf("shlib/src/libnosoname.so").sonames), [""; 0]);
    assert_eq!(names(&elf("shlib/src/libexec.so.1").sonames), ["libexec.so.1"]);
}

#[test]
fn debugging_information_and_the_architecture_are_seen() {
    assert!(elf("lint-warnings/src/hello-debug").is_unstripped);
    assert!(!elf("lint-warnings/src/foo.o").is_unstripped);
    let machine = elf("lint-warnings/src/arm.elf").machine;
    assert_eq!((machine.name().as_str(), machine.is_supported()), ("arm", false));
}

#[test]
fn a_file_with_the_magic_number_alone_says_why_it_is_broken() {
    for (content, why) in [
        (&b"\x7fELF"[..], "unknown ELF class, byte order or version"),
        (b"\x7fELF\x02\x01\x01", "unexpected EOF"),
        (b"\x7fELF\x09\x01\x01", "unknown ELF class, byte order or version"),
    ] {
        let special = special("usr/bin/x", content).expect("it is special");
        assert_eq!(special.elf, Some(Err(why.into())), "{content:?}");
    }
}

#[test]
fn the_first_line_of_a_script_is_cut_after_80_bytes() {
    let line = |path: &str, content: &[u8]| special(path, content).and_then(|special| special.shebang);
    let long = [b"#!".as_slice(), &[b'x'; 100]].concat();

    assert_eq!(line("usr/bin/a", b"#!/bin/sh -e\nexit\n").as_deref(), Some(&b"/bin/sh -e"[..]));
    assert_eq!(line("usr/bin/deep/a", b"#!/bin/sh").as_deref(), Some(&b"/bin/sh"[..]));
    assert_eq!(line("usr/local/sbin/a", &long).map(|line| line.len()), Some(78));
    assert_eq!(line("usr/bin/a", b"#!").as_deref(), Some(&b""[..]));
    assert_eq!(line("usr/libexec/a", b"#!/bin/sh\n"), None);
    assert_eq!(line("usr/bin/a", b"echo\n"), None);
}

#[test]
fn files_of_pkg_config_name_modules() {
    let required = |text: &[u8]| special("usr/lib/pkgconfig/a.pc", text).expect("it is special").pkg_config;
    let list =
        |names: &[&str]| Some(Ok(PkgConfig { requires: names.iter().map(|&name| name.into()).collect() }));

    assert_eq!(required(&fixture("pkgconfig/src/a.pc")), list(&["glib-2.0", "zlib", "libpng", "internal1"]));
    assert_eq!(required(b"Requires: a, b>=1,c = 2-3 d # e\nRequires:\nName: x"), list(&[]));
    assert_eq!(required(b"\tRequires : a <2\t, # b\n"), list(&["a"]));
    assert_eq!(required(b"Requires.privately: a"), list(&[]));
    assert_eq!(required(b"Requires=a\nrequires: b"), list(&[]));
    for broken in ["garbage without colon", "Requires: a >= ${v}", "a-b: c", "Requires: a > 1.0+git", ", a"] {
        assert!(matches!(required(broken.as_bytes()), Some(Err(_))), "{broken}");
    }
}

#[test]
fn directories_of_libraries_are_absolute_lines() {
    let lines = |path: &str, text: &[u8]| special(path, text).map(|special| special.library_directories);
    let text = b"# comment\n\n/usr/lib/app\nrelative/dir\n/opt/b\r\n";

    let found = lines("etc/ld.so.conf.d/deep/app.conf", text).expect("it is special");
    assert_eq!(names(&found), ["usr/lib/app", "opt/b"]);
    assert_eq!(lines("etc/ld.so.conf.d/app.txt", text), None);
    assert_eq!(lines("etc/app.conf", text), None);
}
