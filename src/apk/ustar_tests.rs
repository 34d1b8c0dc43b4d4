//! Header blocks against what Go's writer makes of the same entries.

use super::*;

fn directory(name: &[u8]) -> Entry<'_> {
    Entry { kind: Kind::Directory, mode: 0o755, ..Entry::plain(name, 0, 0, 0) }
}

fn field(block: &[u8], (at, length): (usize, usize)) -> String {
    let field = &block[at..at + length];
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(length);
    String::from_utf8(field[..end].to_vec()).expect("header fields are ASCII")
}

/// The records of the pax header that starts the blocks.
fn records(blocks: &[u8]) -> Vec<u8> {
    assert_eq!(blocks[TYPE], b'x');
    let size = usize::from_str_radix(&field(blocks, SIZE), 8).expect("octal digits");
    blocks[BLOCK..BLOCK + size].to_vec()
}

#[test]
fn a_plain_header_has_these_bytes() {
    let entry = Entry { mtime: 1_700_000_000, ..Entry::plain(b".PKGINFO", 0o644, 319, 0) };
    let block = entry.blocks();
    assert_eq!(block.len(), BLOCK);
    let mut expected = [0; BLOCK];
    expected[..8].copy_from_slice(b".PKGINFO");
    expected[100..108].copy_from_slice(b"0000644\0");
    expected[108..116].copy_from_slice(b"0000000\0");
    expected[116..124].copy_from_slice(b"0000000\0");
    expected[124..136].copy_from_slice(b"00000000477\0");
    expected[136..148].copy_from_slice(b"14524770400\0");
    expected[148..156].fill(b' ');
    expected[156] = b'0';
    expected[257..265].copy_from_slice(b"ustar\x0000");
    expected[265..269].copy_from_slice(b"root");
    expected[297..301].copy_from_slice(b"root");
    expected[329..337].copy_from_slice(b"0000000\0");
    expected[337..345].copy_from_slice(b"0000000\0");
    let sum: u32 = expected.iter().map(|&byte| u32::from(byte)).sum();
    expected[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(block, expected);
}

#[test]
fn a_long_name_is_split_unless_a_record_is_needed_anyway() {
    let name = format!("{}/{}", "d".repeat(80), "f".repeat(90));
    let block = directory(name.as_bytes()).blocks();
    assert_eq!(block.len(), BLOCK);
    assert_eq!((field(&block, PREFIX), field(&block, NAME)), ("d".repeat(80), "f".repeat(90)));

    let records_of_own = BTreeMap::from([(CHECKSUM_RECORD.into(), b"00".to_vec())]);
    let blocks = Entry { records: records_of_own, ..Entry::plain(name.as_bytes(), 0o644, 0, 0) }.blocks();
    let expected = format!("{} {CHECKSUM_RECORD}=00\n181 path={name}\n", CHECKSUM_RECORD.len() + 7);
    assert_eq!(String::from_utf8(records(&blocks)).expect("text"), expected);
    let own = &blocks[blocks.len() - BLOCK..];
    assert_eq!((field(own, PREFIX), field(own, NAME)), (String::new(), name[..100].to_owned()));
    assert_eq!(field(&blocks, NAME), format!("{}/PaxHeaders.0/{}", "d".repeat(80), "f".repeat(90))[..100]);
}

#[test]
fn a_name_that_cannot_be_split_has_a_record() {
    let long = "f".repeat(101);
    for name in [long.clone(), format!("d/{long}"), format!("{}/f", "d".repeat(156)), "ümlaut".into()] {
        let blocks = directory(name.as_bytes()).blocks();
        let text = records(&blocks);
        assert!(text.ends_with(format!(" path={name}\n").as_bytes()), "{}", text.escape_ascii());
    }
    let blocks = directory("usr/share/ümläut".as_bytes()).blocks();
    assert_eq!(field(&blocks[2 * BLOCK..], NAME), "usr/share/mlut");
    assert_eq!(field(&blocks, NAME), "usr/share/PaxHeaders.0/mlut");
}

#[test]
fn a_cut_name_does_not_end_in_a_slash() {
    let name = format!("{}/{}", "d".repeat(99), "f".repeat(120));
    let blocks = directory(name.as_bytes()).blocks();
    assert_eq!(field(&blocks[blocks.len() - BLOCK..], NAME), "d".repeat(99));
    let name = format!("{}/{}", "d".repeat(86), "f".repeat(120));
    assert_eq!(field(&directory(name.as_bytes()).blocks(), NAME), format!("{}/PaxHeaders.0", "d".repeat(86)));
}

#[test]
fn numbers_that_do_not_fit_are_records_and_zero_in_the_header() {
    let entry = Entry {
        kind: Kind::File { size: 1 << 33 },
        uid: 2_097_152,
        gid: u32::MAX,
        mtime: -5,
        ..Entry::plain(b"big", 0o644, 0, 0)
    };
    let blocks = entry.blocks();
    let expected = b"18 gid=4294967295\n12 mtime=-5\n19 size=8589934592\n15 uid=2097152\n";
    assert_eq!(records(&blocks).escape_ascii().to_string(), expected.escape_ascii().to_string());
    let own = &blocks[blocks.len() - BLOCK..];
    for number in [UID, GID, SIZE, MTIME] {
        assert_eq!(field(own, number), "0".repeat(number.1 - 1));
    }
    let most = Entry { kind: Kind::File { size: (1 << 33) - 1 }, uid: 2_097_151, ..entry };
    let fitting = Entry { gid: 0, mtime: (1 << 33) - 1, ..most };
    assert_eq!(fitting.blocks().len(), BLOCK);
}

#[test]
fn links_and_attributes_are_written() {
    let target = vec![b't'; 101];
    let link = Entry { kind: Kind::Symlink { target: &target }, mode: 0o777, ..directory(b"l") };
    let blocks = link.blocks();
    assert!(records(&blocks).starts_with(b"115 linkpath=ttt"));
    assert_eq!(field(&blocks[2 * BLOCK..], LINKNAME), "t".repeat(100));
    assert_eq!(blocks[2 * BLOCK + TYPE], b'2');
    let value = b"\0\xff=\n".to_vec();
    let records_of_own = BTreeMap::from([(b"SCHILY.xattr.user.x".to_vec(), value)]);
    let file = Entry { records: records_of_own, ..Entry::plain(b"f", 0o644, 0, 0) };
    assert_eq!(records(&file.blocks()), b"28 SCHILY.xattr.user.x=\0\xff=\n\n");
}

#[test]
fn an_archive_is_padded_and_ended() {
    let mut writer = Writer::new(Vec::new());
    writer.entry(&Entry::plain(b"f", 0o644, 3, 0)).expect("in memory");
    writer.content(b"abc").expect("in memory");
    writer.entry(&directory(b"d")).expect("in memory");
    let bytes = writer.finish().expect("in memory");
    assert_eq!(bytes.len(), 5 * BLOCK);
    assert_eq!(&bytes[BLOCK..BLOCK + 4], b"abc\0");
    let mut archive = tar::Archive::new(bytes.as_slice());
    let names =
        archive.entries().expect("a tar").map(|entry| entry.expect("whole").path_bytes().into_owned());
    assert_eq!(names.collect::<Vec<_>>(), [b"f".to_vec(), b"d".to_vec()]);
    let mut section = Writer::new(Vec::new());
    section.entry(&Entry::plain(b"f", 0o644, 512, 0)).expect("in memory");
    section.content(&[1; 512]).expect("in memory");
    assert_eq!(section.finish_section().expect("in memory").len(), 2 * BLOCK);
}
