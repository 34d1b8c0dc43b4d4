//! Reads a zip archive's list of files and their content (PKWARE APPNOTE 6.3.10, 4.3): what Go's module proxy makes, and
//! nothing more. The archive is hostile: all offsets are checked, and what it unpacks to is bounded.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::DeflateDecoder;
use sha2::Sha256;

use super::content::hash;

/// The end of the central directory: its signature, its size, and the longest comment behind it.
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: u64 = 22;
const COMMENT: u64 = 0xffff;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;
/// More than any list of files of a module.
const MOST_DIRECTORY: u64 = 64 << 20;
/// Go refuses modules that unpack to more than 500 MiB (`MaxZipFile`).
const MOST_CONTENT: u64 = 1 << 30;

/// Names of files and the SHA-256 of their content.
pub(super) fn hashes(file: &File) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let directory = directory(file)?;
    let mut rest = &directory[..];
    let mut left = MOST_CONTENT;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (entry, after) = entry(rest).context("its list of files is damaged")?;
        rest = after;
        if entry.name.ends_with(b"/") {
            continue;
        }
        left = left.checked_sub(entry.size).context("it unpacks to more than any module")?;
        let hash = content(file, &entry)?;
        found.push((entry.name.to_vec(), hash));
    }
    Ok(found)
}

struct Entry<'a> {
    name: &'a [u8],
    method: u16,
    packed: u64,
    size: u64,
    offset: u64,
}

fn directory(file: &File) -> Result<Vec<u8>> {
    let length = file.metadata().context("look at it")?.len();
    let tail_length = length.min(END_BYTES + COMMENT);
    let mut tail = vec![0; usize::try_from(tail_length).context("its end fits memory")?];
    file.read_exact_at(&mut tail, length - tail_length).context("read its end")?;
    let at = tail.windows(END.len()).rposition(|window| window == END).context("it has no end")?;
    let end = &tail[at..];
    ensure!(end.len() as u64 >= END_BYTES, "its end is cut off");
    let (size, offset) = (number32(end, 12), number32(end, 16));
    let (size, offset) = (size.context("its end is cut off")?, offset.context("its end is cut off")?);
    ensure!(size <= MOST_DIRECTORY && offset + size <= length, "its list of files is damaged");
    let mut directory = vec![0; usize::try_from(size).context("its list fits memory")?];
    file.read_exact_at(&mut directory, offset).context("read its list of files")?;
    Ok(directory)
}

/// The first entry of the list, and what follows it.
fn entry(list: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let fixed = list.get(..ENTRY_BYTES).filter(|fixed| fixed.starts_with(ENTRY))?;
    let (name, extra, comment) = (number16(fixed, 28)?, number16(fixed, 30)?, number16(fixed, 32)?);
    let entry = Entry {
        name: list.get(ENTRY_BYTES..ENTRY_BYTES + usize::from(name))?,
        method: number16(fixed, 10)?,
        packed: number32(fixed, 20)?,
        size: number32(fixed, 24)?,
        offset: number32(fixed, 42)?,
    };
    let length = ENTRY_BYTES + usize::from(name) + usize::from(extra) + usize::from(comment);
    Some((entry, list.get(length..)?))
}

fn content(file: &File, entry: &Entry<'_>) -> Result<Vec<u8>> {
    let mut local = [0; LOCAL_BYTES];
    file.read_exact_at(&mut local, entry.offset).context("a file in it is cut off")?;
    ensure!(local.starts_with(LOCAL), "a file in it is not where its list says");
    let (name, extra) = (number16(&local, 26), number16(&local, 28));
    let skipped = u64::from(name.unwrap_or_default()) + u64::from(extra.unwrap_or_default());
    let packed = Section { file, offset: entry.offset + LOCAL_BYTES as u64 + skipped, left: entry.packed };
    let mut counted = Counted { inner: unpacked(packed, entry.method)?.take(entry.size + 1), bytes: 0 };
    let hash = hash::<Sha256>(&mut counted).context("unpack a file in it")?;
    ensure!(counted.bytes == entry.size, "a file in it is not as long as its list says");
    Ok(hash)
}

fn unpacked<'a>(packed: Section<'a>, method: u16) -> Result<Box<dyn Read + 'a>> {
    Ok(match method {
        0 => Box::new(packed),
        8 => Box::new(DeflateDecoder::new(packed)),
        other => bail!("a file in it is packed by method {other}"),
    })
}

/// A part of a file.
struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn number32(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `zip` of a directory m@v1 with a.go (deflated) and b (stored), made by Python's zipfile.
    const ARCHIVE: &[u8] = include_bytes!("module.zip");

    fn read(bytes: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(bytes, 0).expect("written");
        hashes(&file)
    }

    #[test]
    fn files_are_found_and_hashed_packed_or_not() {
        use sha2::Digest;
        let found = read(ARCHIVE).expect("well-formed");
        let should =
            |name: &str, content: &[u8]| (name.as_bytes().to_vec(), Sha256::digest(content).to_vec());
        assert_eq!(
            found,
            [should("m@v1/a.go", "package m\n".repeat(20).as_bytes()), should("m@v1/b", b"stored")]
        );
    }

    #[test]
    fn what_is_cut_off_or_changed_is_an_error_or_another_hash() {
        let whole = read(ARCHIVE).expect("well-formed");
        for length in 0..ARCHIVE.len() {
            assert!(read(&ARCHIVE[..length]).is_err(), "{length}");
        }
        let mut stored = ARCHIVE.to_vec();
        let at = stored.windows(6).position(|window| window == b"stored").expect("it is there");
        stored[at] = b'S';
        assert_ne!(read(&stored).expect("well-formed"), whole);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_makes_it_panic(changes in prop::collection::vec((0..ARCHIVE.len(), any::<u8>()), 1..8)) {
            let mut bytes = ARCHIVE.to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            // Whatever it says, it says it.
            let _ = read(&bytes);
        }
    }
}
