//! The archives of repositories: an index with its signature, and the head of a package, which is what a signature is over.
//!
//! Before it: bytes of files, which anyone may have made. After it: records, and files that are signed. Builds, commands and roots
//! read by it, so that all of them take and refuse the same files. Pure.

use std::{
    borrow::Cow,
    io::{self, BufRead},
};

use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::{
    control::ControlSection,
    member::gzip,
    pkginfo::PackageInfo,
    section::{self, CONTROL_MAX, INDEX_MAX},
    signature::SigningKey,
    tar::{Entry, EntryType, content, entries_in_memory, invalid},
    ustar,
};

/// The entry of an index with the records.
const RECORDS: &str = "APKINDEX";
/// The entry of an index with the description of the repository.
const DESCRIPTION: &str = "DESCRIPTION";

/// The mode of entries.
const MODE: u32 = 0o644;

/// An index as it lies in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexArchive<'f> {
    /// The tar of the signature section, if one stands in front. It was not verified.
    pub signature: Option<Vec<u8>>,
    /// What a signature is over: the file without its signature.
    pub unsigned: Cow<'f, [u8]>,
    /// The text of `APKINDEX`.
    pub records: String,
    /// The text of `DESCRIPTION`.
    pub description: String,
}

impl<'f> IndexArchive<'f> {
    /// An index without a signature.
    pub fn new(records: String, description: String) -> io::Result<Self> {
        let mut writer = ustar::Writer::new(Vec::new());
        for (name, content) in [(RECORDS, &records), (DESCRIPTION, &description)] {
            let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
            let entry = ustar::Entry::plain(name.as_bytes(), MODE, size, 0);
            writer.entry(&ustar::Entry { uname: b"", gname: b"", ..entry })?;
            writer.content(content.as_bytes())?;
        }
        let unsigned = gzip(&writer.finish()?).into();
        Ok(Self { signature: None, unsigned, records, description })
    }

    /// Reads an `APKINDEX.tar.gz`: one member after its signature, with the two entries and nothing else.
    ///
    /// # Errors
    /// `InvalidData` for what is no index, or is larger than an index may be.
    pub fn read(file: &'f [u8]) -> io::Result<Self> {
        let mut input = file;
        let head = section::head(&mut input, INDEX_MAX)?;
        if !input.is_empty() {
            return Err(invalid("something follows it"));
        }
        let before = head.signature.as_ref().map_or(0, |member| member.compressed.len());
        let unsigned = Cow::Borrowed(file.get(before..).unwrap_or_default());
        let mut tar = head.main.content;
        let (mut records, mut description) = (None, None);
        for entry in entries_in_memory(&tar)? {
            let slot = match str::from_utf8(&entry.path) {
                Ok(RECORDS) => &mut records,
                Ok(DESCRIPTION) => &mut description,
                _ => return Err(odd(&entry, "which no index has")),
            };
            if entry.kind != EntryType::File {
                return Err(odd(&entry, "which is no file"));
            }
            if slot.is_some() {
                return Err(odd(&entry, "twice"));
            }
            *slot = Some(entry);
        }
        let records = records.ok_or_else(|| invalid(&format!("it has no entry {RECORDS}")))?;
        let description = description.map(|entry| content(&tar, &entry).to_vec()).unwrap_or_default();
        // The records are almost all of the tar: a copy would be twice the memory.
        let end = records.offset.saturating_add(records.size);
        tar.truncate(usize::try_from(end).unwrap_or(usize::MAX));
        tar.drain(..usize::try_from(records.offset).unwrap_or(tar.len()).min(tar.len()));
        let text = |bytes| String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"));
        let signature = head.signature.map(|member| member.content);
        Ok(Self { signature, unsigned, records: text(tar)?, description: text(description)? })
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

fn odd(entry: &Entry, why: &str) -> io::Error {
    invalid(&format!("it has an entry {:?}, {why}", String::from_utf8_lossy(&entry.path)))
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
    ///
    /// # Errors
    /// `InvalidData` for what is no package; errors of the input.
    pub fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let head = section::head(input, CONTROL_MAX)?;
        let ControlSection { info, mtime, others: _ } = ControlSection::read(&head.main.content)?;
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
        let section = read.signature.clone().expect("signed");
        assert_eq!(read, IndexArchive { signature: Some(section.clone()), ..index.clone() });
        assert!(signed.ends_with(&unsigned), "what is signed is the rest of the file");
        let entries = entries_in_memory(&section).expect("a tar");
        let [entry] = entries.as_slice() else { panic!("one entry: {entries:?}") };
        assert_eq!(entry.path, b".SIGN.RSA256.test.rsa.pub");
        let signature = content(&section, entry);
        assert!(key.public_key().verifies(Algorithm::Rsa256, &Sha256::digest(&unsigned), signature));
        assert_eq!(index.file(Some(&key)).expect("signed"), signed, "the same each time");
        assert_eq!(Index::parse(&read.records).expect("valid").records.len(), 1);
    }

    /// A tar of these files, without blocks of zeros at its end.
    fn files(files: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut writer = ustar::Writer::new(Vec::new());
        for (name, content) in files {
            writer.entry(&ustar::Entry::plain(name, MODE, content.len() as u64, 77)).expect("written");
            writer.content(content).expect("written");
        }
        writer.finish_section().expect("written")
    }

    #[test]
    fn what_is_no_index_is_an_error() {
        let whole = IndexArchive::new(TEXT.to_owned(), String::new()).expect("written").unsigned;
        let records = (&b"APKINDEX"[..], TEXT.as_bytes());
        let link = ustar::Entry {
            kind: ustar::Kind::Symlink { target: b"/etc/passwd" },
            ..ustar::Entry::plain(b"APKINDEX", MODE, 0, 0)
        };
        for (file, part) in [
            (gzip(&files(&[(b"other", b"")])), "\"other\", which no index has"),
            (gzip(&files(&[records, (b"other", b"")])), "\"other\", which no index has"),
            (gzip(&files(&[records, records])), "\"APKINDEX\", twice"),
            (
                gzip(&files(&[records, (b"DESCRIPTION", b""), (b"DESCRIPTION", b"")])),
                "\"DESCRIPTION\", twice",
            ),
            (gzip(&link.blocks()), "\"APKINDEX\", which is no file"),
            (gzip(&files(&[(b"APKINDEX", b"P:\xff\n")])), "not UTF-8"),
            (
                gzip(&[files(&[records]), vec![0; 1024], files(&[records])].concat()),
                "something follows its end",
            ),
            ([&whole[..], b"x"].concat(), "something follows it"),
            ([&whole[..], &gzip(b"")].concat(), "something follows it"),
            (Vec::new(), "cut off"),
            (b"text, not gzip".to_vec(), "not gzip"),
            (whole[..whole.len() / 2].to_vec(), "cut off"),
            (gzip(&files(&[records])[..600]), "cut off"),
            (gzip(&[0; 1024]), "no entry APKINDEX"),
            (gzip(b"no tar"), "cut off"),
        ] {
            let error = IndexArchive::read(&file).expect_err("no index").to_string();
            assert!(error.contains(part), "{error}, not {part}");
        }
        IndexArchive::read(&gzip(&files(&[records])))
            .expect("an index without the blocks of zeros at its end");
    }

    #[test]
    fn the_head_of_a_package_is_read_and_signed() {
        let section = |name: &[u8], text: &[u8]| gzip(&files(&[(name, text)]));
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
