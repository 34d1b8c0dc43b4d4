//! Files that are made to harm: nothing panics, nothing takes long, and nothing large is kept.

use std::{fs, io::Cursor, path::Path};

use proptest::prelude::*;

use super::{PackageFacts, Special, Walk, examine, fixtures};

/// Files of the cases that are small programs and libraries.
const FIXTURES: [&str; 4] = [
    "shlib/src/libfoo.so.1.2.3",
    "shlib/src/usefoo",
    "lint-warnings/src/foo.o",
    "lint-warnings/src/hello-debug",
];

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apk/cases").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn special(path: &str, content: &[u8]) -> Option<Special> {
    let size = content.len() as u64;
    examine(path.as_bytes(), &mut Cursor::new(content), size).expect("memory can be read").map(|boxed| *boxed)
}

#[test]
fn every_truncation_of_an_elf_file_is_read_to_an_end() {
    for name in FIXTURES {
        let content = fixture(name);
        for length in (0..content.len()).filter(|length| *length < 1200 || length % 37 == 0) {
            let found = special("usr/lib/x", &content[..length]);
            assert_eq!(found.is_some(), length >= 4, "{name} cut to {length}");
        }
    }
}

#[test]
fn every_changed_byte_of_the_headers_is_read_to_an_end() {
    for name in FIXTURES {
        let mut content = fixture(name);
        let length = content.len();
        let tables = length.saturating_sub(2500).max(1024);
        for at in (0..length.min(1024)).chain(tables..length) {
            let byte = content[at];
            for changed in [0xff, byte ^ 0x80, byte.wrapping_add(1)] {
                content[at] = changed;
                special("usr/lib/x", &content);
            }
            content[at] = byte;
        }
    }
}

/// A little-endian ELF file of 64 bits with the given tables behind its header, which says where they are.
fn elf(program_count: u16, section_count: u16, names: u16, tables: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[20] = 1;
    file[32] = 64;
    file[40] = 64;
    for (at, number) in [(54, 56), (56, program_count), (58, 64), (60, section_count), (62, names)] {
        file[at..at + 2].copy_from_slice(&number.to_le_bytes());
    }
    file.extend_from_slice(tables);
    file
}

fn section(kind: u32, offset: u64, size: u64, link: u32) -> Vec<u8> {
    let mut section = vec![0; 64];
    section[4..8].copy_from_slice(&kind.to_le_bytes());
    section[24..32].copy_from_slice(&offset.to_le_bytes());
    section[32..40].copy_from_slice(&size.to_le_bytes());
    section[40..44].copy_from_slice(&link.to_le_bytes());
    section
}

#[test]
fn many_sections_that_share_one_endless_name_take_no_time() {
    let count = 60_000;
    let names_at = 64 + 64 * count;
    let names_size = 8 << 20;
    let mut tables = Vec::new();
    for index in 0..count {
        tables.extend(section(if index == 1 { 3 } else { 1 }, names_at, names_size, 0));
    }
    tables.resize(tables.len() + names_size as usize, b'.');
    *tables.last_mut().expect("there are names") = 0;

    let found = special("usr/lib/x", &elf(0, count as u16, 1, &tables)).and_then(|special| special.elf);
    assert!(matches!(found, Some(Ok(_))), "{found:?}");
}

#[test]
fn entries_that_share_one_long_name_are_not_multiplied() {
    let (entries_at, text_at, count) = (64 + 3 * 64, 64 + 3 * 64 + 16 * 4000, 4000);
    let mut tables =
        [section(0, 0, 0, 0), section(6, entries_at, 16 * count, 2), section(3, text_at, 1000, 0)].concat();
    for _ in 0..count {
        tables.extend([1_u64.to_le_bytes(), 0_u64.to_le_bytes()].concat());
    }
    tables.extend([b'x'; 999]);
    tables.push(0);

    let found = special("usr/lib/x", &elf(0, 3, 0, &tables)).and_then(|special| special.elf);
    let elf = found.expect("it is ELF").expect("its headers are right");
    assert!(elf.dynamic_is_broken && elf.needed.is_empty());
}

#[test]
fn a_package_that_names_too_much_is_refused() {
    let mut package = PackageFacts::new("a");
    let elf = super::Elf { needed: [vec![b'x'; 60_000].into()].into(), ..fixtures::elf() };
    let large = fixtures::special("usr/lib/x", Special { elf: Some(Ok(elf)), ..Special::default() });

    let refused = (0..2000).find_map(|_| package.push(large.clone()).err()).expect("64 MiB is the limit");
    assert!(refused.to_string().contains("more than 64 MiB"), "{refused}");
}

#[test]
fn a_small_file_that_unpacks_to_much_is_left() {
    let zeros = vec![0; 32 << 20];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &zeros).expect("memory can be written");
    std::io::Write::write_all(&mut encoder, b"vermagic=6.1 ").expect("memory can be written");
    let bomb = encoder.finish().expect("memory can be written");

    assert_eq!(special("lib/modules/x.ko.gz", &bomb), None);
}

#[test]
fn a_walk_is_sorted_by_levels() {
    let paths = ["a-b", "a", "a/x", "b", "a/x/y", "a.c"];
    let package = fixtures::package("a", paths.map(fixtures::file));
    let walk = Walk::new(&package);

    let sorted: Vec<&[u8]> = walk.iter().map(|file| &file.path[..]).collect();
    assert_eq!(sorted, ["a", "a/x", "a/x/y", "a-b", "a.c", "b"].map(str::as_bytes));
    assert!(paths.iter().all(|path| walk.find(path.as_bytes()).is_some()));
    assert_eq!(walk.find(b"a/"), None);
}

proptest! {
    #[test]
    fn any_content_is_read_to_an_end(
        path in "(usr/bin/x|usr/lib/x|boot/x|lib/modules/x|etc/ld.so.conf.d/x.conf|usr/lib/pkgconfig/x.pc)",
        start in prop::sample::select(vec![
            &b""[..], b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"MZ", b"#!",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        special(&path, &[start, &rest].concat());
    }

    #[test]
    fn any_text_of_pkg_config_is_read_to_an_end(text in "[ a-zR:=,<>#.\\n$\\{\\}-]{0,200}") {
        special("x.pc", text.as_bytes());
    }

    #[test]
    fn any_links_are_followed_to_an_end(targets in prop::collection::vec("([ab]|\\.\\.|\\.)(/([ab]|\\.\\.)){0,3}", 1..6)) {
        let places = ["a", "b", "d/a", "d/b", "d/e/a", "d/e/b"];
        let links = places.iter().zip(&targets).map(|(path, target)| fixtures::link(path, target));
        let package = fixtures::package("x", links);
        let walk = Walk::new(&package);
        for file in walk.iter() {
            let found = walk.resolve(file);
            prop_assert!(found.is_none_or(|file| !file.is_symlink()));
        }
    }

    #[test]
    fn the_first_version_is_found_wherever_it_stands(before in 0_usize..200_000, after in 0_usize..1000) {
        let content = [vec![b'L'; before].as_slice(), b"Linux version 6.1.0-x+ y", &vec![0; after]].concat();
        let found = special("boot/x", &content).expect("it is found");
        prop_assert_eq!(found.linux_version.as_deref(), Some("6.1.0-x"));
    }
}
