//! The archives of repositories: an index with its signature, and the head of a package, which is what a signature is over.
//!
//! Before it: bytes of files, which anyone may have made. After it: records, and files that are signed. Pure.

use std::io::{self, BufRead, Cursor};

use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::{
    index::MAX_INDEX,
    member::gzip,
    pkginfo::PackageInfo,
    section::{self, CONTROL_MAX},
    signature::SigningKey,
    ustar,
};
use crate::exit::{Code, Failure};

/// The entry of an index with the records.
const RECORDS: &str = "APKINDEX";
/// The entry of an index with the description of the repository.
const DESCRIPTION: &str = "DESCRIPTION";
/// The entry of a package with its metadata, the first of the control section.
const PACKAGE_INFO: &str = ".PKGINFO";

/// The mode of entries.
const MODE: u32 = 0o644;

/// An index as it lies in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexArchive {
    /// Whether a signature stands in front. It was not verified.
    pub is_signed: bool,
    /// What a signature is over: the file without its signature.
    pub unsigned: Vec<u8>,
    /// The text of `APKINDEX`.
    pub records: String,
    /// The text of `DESCRIPTION`.
    pub description: String,
}

impl IndexArchive {
    /// An index without a signature.
    pub fn new(records: String, description: String) -> io::Result<Self> {
        let mut writer = ustar::Writer::new(Vec::new());
        for (name, content) in [(RECORDS, &records), (DESCRIPTION, &description)] {
            let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
            let entry = ustar::Entry::plain(name.as_bytes(), MODE, size, 0);
            writer.entry(&ustar::Entry { uname: b"", gname: b"", ..entry })?;
            writer.content(content.as_bytes())?;
        }
        Ok(Self { is_signed: false, unsigned: gzip(&writer.finish()?), records, description })
    }

    /// Reads an `APKINDEX.tar.gz`. Texts that are not UTF-8 are read as far as they are.
    ///
    /// # Errors
    /// `InvalidData` for what is no index, or is larger than an index may be.
    pub fn read(file: &[u8]) -> io::Result<Self> {
        let limit = u64::try_from(MAX_INDEX).unwrap_or(u64::MAX);
        let head = section::head(&mut Cursor::new(file), limit)?;
        let before = head.signature.as_ref().map_or(0, |member| member.compressed.len());
        let mut records = None;
        let mut description = String::new();
        for Entry { name, content, .. } in entries(&head.main.content)? {
            match name.as_str() {
                RECORDS => records = Some(String::from_utf8_lossy(content).into_owned()),
                DESCRIPTION => description = String::from_utf8_lossy(content).into_owned(),
                other => return Err(invalid(format!("it has an entry {other:?}, which no index has"))),
            }
        }
        Ok(Self {
            is_signed: head.signature.is_some(),
            unsigned: file.get(before..).unwrap_or_default().to_vec(),
            records: records.ok_or_else(|| invalid(format!("it has no entry {RECORDS}")))?,
            description,
        })
    }

    /// The file, signed if there is a key.
    pub fn file(&self, key: Option<&SigningKey>) -> anyhow::Result<Vec<u8>> {
        let signature = match key {
            Some(key) => signature_section(key, &self.unsigned, 0)?,
            None => Vec::new(),
        };
        Ok([signature.as_slice(), &self.unsigned].concat())
    }
}

/// What stands before the data of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageHead {
    /// The metadata.
    pub info: PackageInfo,
    /// The time of its entry, in seconds since 1970: that of signatures, too.
    pub mtime: i64,
    /// The control section as it is in the file.
    pub control: Vec<u8>,
}

impl PackageHead {
    /// Reads the sections before the data of a package. The input stands at the first byte of the data then.
    pub fn read(input: &mut impl BufRead) -> anyhow::Result<Self> {
        let head = section::head(input, CONTROL_MAX)?;
        let first = entries(&head.main.content)?.into_iter().next();
        let Some(Entry { content, mtime, .. }) = first.filter(|entry| entry.name == PACKAGE_INFO) else {
            let what = format!("its control section does not begin with {PACKAGE_INFO}");
            return Err(
                Failure::new(Code::Package, what, "give a package of apk, version 2: NAME.apk").into()
            );
        };
        let info = PackageInfo::parse(&String::from_utf8_lossy(content))?;
        Ok(Self { info, mtime, control: head.main.compressed })
    }

    /// The identity of the package in an index.
    pub fn control_sha1(&self) -> [u8; 20] {
        Sha1::digest(&self.control).into()
    }

    /// A signature section for the package.
    pub fn signature(&self, key: &SigningKey) -> anyhow::Result<Vec<u8>> {
        signature_section(key, &self.control, self.mtime)
    }
}

/// A signature section over compressed bytes: a control section, an index or an attestation. `mtime` is in seconds since 1970.
pub fn signature_section(key: &SigningKey, signed: &[u8], mtime: i64) -> anyhow::Result<Vec<u8>> {
    let signature = key.sign(&Sha256::digest(signed).into())?;
    let name = key.entry_name();
    let size = u64::try_from(signature.len()).unwrap_or(u64::MAX);
    let mut writer = ustar::Writer::new(Vec::new());
    writer.entry(&ustar::Entry::plain(name.as_bytes(), MODE, size, mtime))?;
    writer.content(&signature)?;
    Ok(gzip(&writer.finish_section()?))
}

/// A file in a tar.
struct Entry<'a> {
    name: String,
    content: &'a [u8],
    mtime: i64,
}

/// The entries of a tar in memory. It may end without blocks of zeros.
fn entries(tar: &[u8]) -> io::Result<Vec<Entry<'_>>> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
        let entry = entry?;
        let range = usize::try_from(entry.raw_file_position()).ok().zip(usize::try_from(entry.size()).ok());
        let content = range.and_then(|(at, size)| tar.get(at..)?.get(..size));
        Ok(Entry {
            name: String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            content: content.ok_or_else(|| invalid("an entry is cut off".to_owned()))?,
            mtime: entry.header().mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0),
        })
    };
    archive.entries()?.map(read).collect()
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;
    use crate::apk::{Algorithm, Index};

    const TEXT: &str = "C:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\nP:a\nV:1-r0\nT:\n\n";

    /// A key of 2048 bits, made for these tests.
    fn key() -> SigningKey {
        let root = tempfile::tempdir().expect("made");
        let path = root.path().join("test.rsa");
        crate::apk::generate_key(&path, 2048).expect("made");
        SigningKey::load(&path).expect("readable")
    }

    #[test]
    fn an_index_is_written_signed_and_read() {
        let index = IndexArchive::new(TEXT.to_owned(), "what it is".to_owned()).expect("written");
        let unsigned = index.file(None).expect("written");
        assert_eq!(IndexArchive::read(&unsigned).expect("valid"), index);
        let key = key();
        let signed = index.file(Some(&key)).expect("signed");
        let read = IndexArchive::read(&signed).expect("valid");
        assert_eq!(read, IndexArchive { is_signed: true, ..index.clone() });
        assert!(signed.ends_with(&unsigned), "what is signed is the rest of the file");
        let section =
            section::head(&mut Cursor::new(&signed), 1 << 20).expect("valid").signature.expect("signed");
        let [entry] = entries(&section.content).expect("a tar").try_into().ok().expect("one entry");
        assert_eq!(entry.name, ".SIGN.RSA256.test.rsa.pub");
        assert!(key.public_key().verifies(Algorithm::Rsa256, &Sha256::digest(&unsigned), entry.content));
        assert_eq!(index.file(Some(&key)).expect("signed"), signed, "the same each time");
        assert_eq!(Index::parse(&read.records).expect("valid").records.len(), 1);
    }

    #[test]
    fn what_is_no_index_is_an_error() {
        let mut writer = ustar::Writer::new(Vec::new());
        writer.entry(&ustar::Entry::plain(b"other", MODE, 0, 0)).expect("written");
        let other = gzip(&writer.finish().expect("written"));
        let whole = IndexArchive::new(TEXT.to_owned(), String::new()).expect("written").unsigned;
        let empty = gzip(&[0; 1024]);
        for (file, part) in [
            (other.as_slice(), "\"other\""),
            (b"", ""),
            (b"text", ""),
            (&whole[..whole.len() / 2], ""),
            (&empty, "no entry APKINDEX"),
            (&gzip(b"no tar"), ""),
        ] {
            let error = IndexArchive::read(file).expect_err("no index").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_head_of_a_package_is_read_and_signed() {
        let section = |name: &[u8], text: &[u8]| {
            let mut writer = ustar::Writer::new(Vec::new());
            let size = u64::try_from(text.len()).expect("small");
            writer.entry(&ustar::Entry::plain(name, MODE, size, 77)).expect("written");
            writer.content(text).expect("written");
            gzip(&writer.finish_section().expect("written"))
        };
        let control = section(b".PKGINFO", b"pkgname = a\npkgver = 1-r0\n");
        let package = [control.as_slice(), b"data"].concat();
        let mut input = BufReader::new(package.as_slice());
        let head = PackageHead::read(&mut input).expect("valid");
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).expect("read");
        assert_eq!((head.info.name.as_str(), head.mtime, rest.as_slice()), ("a", 77, &b"data"[..]));
        assert_eq!(head.control_sha1(), <[u8; 20]>::from(Sha1::digest(&control)));
        let key = key();
        let signature = head.signature(&key).expect("signed");
        let signed = [signature.as_slice(), &package].concat();
        assert_eq!(PackageHead::read(&mut BufReader::new(signed.as_slice())).expect("valid"), head);
        let other = section(b"other", b"");
        let error = PackageHead::read(&mut BufReader::new(other.as_slice())).expect_err("no package");
        assert!(error.to_string().contains("does not begin with .PKGINFO"));
    }
}
