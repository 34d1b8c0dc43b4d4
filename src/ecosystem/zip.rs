//! The names and hashes of a zip archive's files: a Go module, as its proxy made it.
//!
//! rawzip checks the structure, sizes and CRCs. The archive is hostile: the length of its list of files
//! and of their content is bounded here. No file is written, and two files that share their data count twice.

use std::{
    fs::File,
    io::{self, Read},
};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ZipLocator};
use sha2::{Digest, Sha256};

/// The end of the list of files with the longest comment (PKWARE APPNOTE 6.3.10, 4.3.16).
const MOST_END: u64 = 22 + 0xffff;
/// More than any list of files of a module.
const MOST_DIRECTORY: u64 = 64 << 20;
/// Go refuses modules that unpack to more than 500 MiB (`MaxZipFile`).
const MOST_CONTENT: u64 = 1 << 30;
/// Bytes that are unpacked at once.
const PIECE: usize = 64 << 10;

/// The names of all files and the SHA-256 of their content. Directories are left out.
pub(crate) fn hashes(file: &File) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let file = file.try_clone().context("open it again")?;
    let archive = ZipLocator::new()
        .max_search_space(MOST_END)
        .locate_in_file(file, &mut buffer)
        .map_err(|(_, error)| error)
        .context("find its list of files")?;
    let length = archive.eocd_offset().checked_sub(archive.directory_offset());
    ensure!(length.is_some_and(|length| length <= MOST_DIRECTORY), "its list of files is too long");
    let mut left = MOST_CONTENT;
    let (mut found, mut count) = (Vec::new(), 0);
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().context("read its list of files")? {
        count += 1;
        if entry.is_dir() {
            continue;
        }
        let size = entry.uncompressed_size_hint();
        left = left.checked_sub(size).context("it unpacks to more than any module")?;
        let body = archive.get_entry(entry.wayfinder()).context("find a file in it")?;
        let unpacked: Box<dyn Read> = match entry.compression_method() {
            CompressionMethod::STORE => Box::new(body.reader()),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(body.reader())),
            other => bail!("a file in it is packed by method {}", other.as_u16()),
        };
        let hash = sha256(body.verifying_reader(unpacked)).context("unpack a file in it")?;
        found.push((entry.file_path().as_bytes().to_vec(), hash));
    }
    // The field of an archive with more files holds the last 16 bits of their number.
    ensure!(count & 0xffff == archive.entries_hint() & 0xffff, "its list of files is cut off");
    Ok(found)
}

fn sha256(mut content: impl Read) -> io::Result<Vec<u8>> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match content.read(&mut piece)? {
            0 => return Ok(hash.finalize().to_vec()),
            length => hash.update(&piece[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;

    use super::*;

    /// `zip` of a directory m@v1 with a.go (deflated) and b (stored), made by Python's zipfile.
    const ARCHIVE: &[u8] = include_bytes!("module.zip");
    /// Offsets in an entry of the list of files.
    const METHOD: usize = 10;
    const CRC: usize = 16;
    const SIZE: usize = 24;
    const LOCAL: usize = 42;

    fn read(bytes: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(bytes, 0).expect("written");
        hashes(&file)
    }

    /// The start of the `n`th entry of the list of files.
    fn entry(n: usize) -> usize {
        let starts = ARCHIVE.windows(4).enumerate().filter(|(_, window)| window == b"PK\x01\x02");
        starts.map(|(at, _)| at).nth(n).expect("it has so many")
    }

    /// The archive with other bytes in a field of the `n`th entry.
    fn with(n: usize, field: usize, bytes: &[u8]) -> Vec<u8> {
        let (mut archive, at) = (ARCHIVE.to_vec(), entry(n) + field);
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    }

    #[test]
    fn files_are_found_and_hashed_packed_or_not() {
        let found = read(ARCHIVE).expect("well-formed");
        let should =
            |name: &str, content: &[u8]| (name.as_bytes().to_vec(), Sha256::digest(content).to_vec());
        assert_eq!(
            found,
            [should("m@v1/a.go", "package m\n".repeat(20).as_bytes()), should("m@v1/b", b"stored")]
        );
    }

    #[test]
    fn a_truncated_archive_and_changed_content_are_errors() {
        for length in 0..ARCHIVE.len() {
            assert!(read(&ARCHIVE[..length]).is_err(), "{length}");
        }
        let mut stored = ARCHIVE.to_vec();
        let at = stored.windows(6).position(|window| window == b"stored").expect("it is there");
        stored[at] = b'S';
        assert!(read(&stored).is_err());
    }

    #[test]
    fn a_wrong_field_in_the_list_of_files_is_an_error() {
        for (n, field, bytes) in [
            (0, METHOD, &[99, 0][..]),
            (0, CRC, &[0, 0, 0, 0]),
            // One byte less, one more, and more than any module.
            (0, SIZE, &[199, 0, 0, 0]),
            (0, SIZE, &[201, 0, 0, 0]),
            (1, SIZE, &[5, 0, 0, 0]),
            (1, SIZE, &[0, 0, 0, 0x7f]),
            (0, LOCAL, &[1, 0, 0, 0]),
            (0, LOCAL, &[0xff, 0xff, 0xff, 0xff]),
        ] {
            assert!(read(&with(n, field, bytes)).is_err(), "{n} {field} {bytes:?}");
        }
    }

    #[test]
    fn an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() {
        let error = read(&with(1, SIZE, &[0, 0, 0, 0x7f])).expect_err("two gigabytes");
        assert_eq!(format!("{error:#}"), "it unpacks to more than any module");
    }

    #[test]
    fn a_list_that_ends_early_is_an_error() {
        let end = ARCHIVE.len() - 22;
        for field in [8, 10] {
            let mut archive = ARCHIVE.to_vec();
            archive[end + field] += 1;
            assert_eq!(read(&archive).is_err(), field == 10, "the number on all disks counts");
        }
    }

    #[test]
    fn a_list_longer_than_any_module_is_not_read() {
        let file = tempfile::tempfile().expect("a file");
        let start = MOST_DIRECTORY + 1;
        file.write_all_at(&ARCHIVE[ARCHIVE.len() - 22..], start).expect("written");
        // Where the list begins.
        file.write_all_at(&[0; 4], start + 16).expect("written");
        let error = hashes(&file).expect_err("too long");
        assert_eq!(format!("{error:#}"), "its list of files is too long");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_archive_makes_it_panic(changes in prop::collection::vec((0..ARCHIVE.len(), any::<u8>()), 1..8)) {
            let mut bytes = ARCHIVE.to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            // An archive that can still be read has no more files than before.
            if let Ok(found) = read(&bytes) {
                prop_assert!(found.len() <= 2);
            }
        }
    }
}
