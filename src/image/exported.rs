//! An image as one file, to be taken to another machine: a tar of its root (zstd), whose first header names the image.
//!
//! ```text
//! PAX global header   KILN.image = the record, as JSON
//! the tar of archive.rs
//! ```
//!
//! Readers ignore a vendor's keyword that they do not know (pax(1)), so `--image` and `docker import` take the file as well.

use std::io::{self, BufReader, ErrorKind, Read, Write};

use anyhow::{Context, Result};
use tar::{EntryType, Header};
use zstd::stream::{read::Decoder, write::Encoder};

use super::{
    archive,
    record::{MOST_RECORD, Record},
    store::Image,
};
use crate::{exit::Failure, plan::ImageSource as Source};

/// The keyword of the record.
const KEYWORD: &str = "KILN.image";
/// zstd's default: faster than most disks.
const LEVEL: i32 = 3;
/// The size of a header, of which contents are multiples.
const BLOCK: usize = 512;

/// Writes an image.
///
/// # Errors
/// A usage failure for the image of a directory or a tar: those are what another machine takes. Else when the image is damaged, or
/// `out` takes no more.
pub fn export(image: &Image, out: impl Write) -> Result<()> {
    if let Source::Directory(path) | Source::Tar(path) = &image.record.recipe.source {
        return Err(Failure::usage(
            format!("the image {} has no name on another machine", image.record.recipe),
            format!("Take {} itself there, and give it with --image.", path.display()),
        )
        .into());
    }
    let mut encoder = Encoder::new(out, LEVEL).context("start the compressor")?;
    encoder.include_checksum(true).context("start the compressor")?;
    encoder.write_all(&header(&image.record)?).context("write the archive")?;
    archive::write(&image.path, &mut encoder)?;
    encoder.finish().and_then(|mut out| out.flush()).context("write the archive")
}

/// The global header and its content.
fn header(record: &Record) -> Result<Vec<u8>> {
    let json = serde_json::to_string(record).context("encode the record")?;
    let content = pax_record(&json);
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XGlobalHeader);
    header.set_path("pax_global_header").context("name the header")?;
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = [&header.as_bytes()[..], content.as_bytes()].concat();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    Ok(bytes)
}

/// `LENGTH KEYWORD=VALUE` and a line break; the length counts its own digits.
fn pax_record(value: &str) -> String {
    let rest = format!(" {KEYWORD}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

/// The record of an exported image, and the tar that follows it.
///
/// # Errors
/// `InvalidData` for what is no exported image, or one of something that an export never is.
pub(super) fn read<R: Read>(file: R) -> io::Result<(Record, Decoder<'static, BufReader<R>>)> {
    let mut tar = Decoder::new(file)?;
    let mut header = Header::new_ustar();
    let blocks = tar.read_exact(header.as_mut_bytes());
    blocks.map_err(|error| not_one(&format!("its first header cannot be read: {error}")))?;
    let size = header.entry_size().unwrap_or(u64::MAX);
    if header.entry_type() != EntryType::XGlobalHeader || size > MOST_RECORD {
        return Err(not_one("its first header does not say which image it is"));
    }
    let padded = size.next_multiple_of(BLOCK as u64);
    let mut content = Vec::new();
    (&mut tar).take(padded).read_to_end(&mut content)?;
    content.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let text = str::from_utf8(&content).map_err(|_| not_one("its first header is not UTF-8"))?;
    let json = text.split_once('=').map_or("", |(_, json)| json.trim_end_matches('\n'));
    if text != pax_record(json) {
        return Err(not_one("its first header does not say which image it is"));
    }
    let record: Record =
        serde_json::from_str(json).map_err(|error| not_one(&format!("its record is invalid: {error}")))?;
    let valid = record.check().map_err(|why| not_one(&format!("its record is invalid: {why}")));
    valid.map(|()| (record, tar))
}

fn not_one(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ApkPackage, ApkRoot, DebianRoot, ImageRecipe};

    fn record(source: Source) -> Record {
        let recipe = ImageRecipe { source, arch: "amd64".into() };
        Record {
            recipe,
            made: 7,
            in_release: Some("a".repeat(64)),
            packages: vec!["gcc 1".into()],
            sha256: None,
        }
    }

    fn debian(suite: &str, packages: &[&str]) -> Record {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        record(Source::Debian(DebianRoot { suite: suite.into(), packages, repositories: Vec::new() }))
    }

    fn apk(name: &str) -> Record {
        let package = ApkPackage {
            name: name.into(),
            version: "1-r0".into(),
            repository: "./packages".into(),
            checksum: "Q1".into(),
            size: 1,
            tag: None,
            versioned_libraries: Vec::new(),
        };
        record(Source::Apk(ApkRoot { packages: vec![package], ..ApkRoot::default() }))
    }

    fn packed(tar: &[u8]) -> Vec<u8> {
        zstd::encode_all(tar, 1).expect("packed")
    }

    #[test]
    fn the_record_is_read_and_the_tar_follows() {
        for record in [debian("bookworm", &["gcc", "git"]), apk("busybox")] {
            let file = packed(&[header(&record).expect("encoded"), vec![b'x'; 1000]].concat());
            let (read, mut rest) = read(file.as_slice()).expect("valid");
            let mut tar = Vec::new();
            rest.read_to_end(&mut tar).expect("read");
            assert_eq!((read, tar), (record, vec![b'x'; 1000]));
        }
    }

    #[test]
    fn a_pax_record_counts_its_own_digits() {
        for length in [0, 79, 80, 81, 82, 83, 84, 977, 978, 979, 980, 981, 9970] {
            let record = pax_record(&"x".repeat(length));
            assert_eq!(
                record.split_once(' ').map(|(count, _)| count.parse()),
                Some(Ok(record.len())),
                "{length}"
            );
        }
    }

    #[test]
    fn what_is_no_exported_image_is_refused() {
        let whole = header(&debian("bookworm", &["gcc"])).expect("encoded");
        let of = |record: Record| packed(&header(&record).expect("encoded"));
        let mut long = whole.clone();
        long[124..136].copy_from_slice(b"77777777777 ");
        for (file, part) in [
            (Vec::new(), "first header"),
            (b"no zstd at all".to_vec(), "first header"),
            (packed(&[b'x'; 2048]), "does not say"),
            (packed(&whole[..600]), "does not say"),
            (packed(&long), "does not say"),
            (of(record(Source::Tar("/etc/passwd".into()))), "neither Debian"),
            (of(record(Source::Directory("/".into()))), "neither Debian"),
            (of(debian("../x", &[])), "not the name of a suite"),
            (of(debian("bookworm", &["gcc", "-o"])), "not the name of a Debian package"),
            (of(debian("bookworm", &["git", "gcc"])), "sorted"),
            (
                of(Record { packages: vec!["a\u{1b}[2J 1".into()], ..debian("bookworm", &[]) }),
                "control character",
            ),
            (of(Record { in_release: Some("x\ny".into()), ..debian("bookworm", &[]) }), "release"),
            (of(apk("../x")), "no package"),
        ] {
            let error = read(file.as_slice()).err().expect("refused").to_string();
            assert!(error.contains(part), "{error}, not {part}");
        }
    }
}
