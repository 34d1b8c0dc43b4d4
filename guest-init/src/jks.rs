//! A Java truststore: the JKS format (OpenJDK's `JavaKeyStore.java`), read, added to and written.
//!
//! Every Java reads it without a password, whatever its `keystore.type` says. The password is the usual `changeit`.

use std::collections::HashSet;

use sha1::{Digest, Sha1};

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// An entry that is a key with its chain of certificates.
const KEY: u32 = 1;
/// An entry that is a certificate.
const TRUSTED: u32 = 2;
const PASSWORD: &str = "changeit";
/// Sun's "whitener" between password and content.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// The entries of a store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    /// Entries as they are in the file.
    entries: Vec<u8>,
    count: u32,
    certificates: HashSet<Vec<u8>>,
}

impl Store {
    /// Reads a file. `None` if it has another format or version, or is damaged. Its digest is not checked, since that needs the
    /// password.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let (magic, version, count) = (rest.number()?, rest.number()?, rest.number()?);
        if (magic, version) != (MAGIC, VERSION) {
            return None;
        }
        let before = rest.0;
        let mut certificates = HashSet::new();
        for _ in 0..count {
            let kind = rest.number()?;
            // Its alias and its time.
            rest.text()?;
            rest.take(8)?;
            match kind {
                KEY => {
                    rest.blob()?;
                    for _ in 0..rest.number()? {
                        rest.text()?;
                        rest.blob()?;
                    }
                }
                TRUSTED => {
                    rest.text()?;
                    certificates.insert(rest.blob()?.to_vec());
                }
                _ => return None,
            }
        }
        Some(Self { entries: before[..before.len() - rest.0.len()].to_vec(), count, certificates })
    }

    /// Adds a certificate under this alias, unless it is there. Its time is 0, so that the same certificates make the same file.
    pub(crate) fn add(&mut self, alias: &str, der: &[u8]) {
        if !self.certificates.insert(der.to_vec()) {
            return;
        }
        self.count += 1;
        let out = &mut self.entries;
        out.extend(TRUSTED.to_be_bytes());
        text(out, alias);
        out.extend(0u64.to_be_bytes());
        text(out, "X.509");
        // A request to the agent is shorter.
        out.extend(u32::try_from(der.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(der);
    }

    /// The file.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out: Vec<u8> = [MAGIC, VERSION, self.count].into_iter().flat_map(u32::to_be_bytes).collect();
        out.extend(&self.entries);
        let digest = digest(&out);
        out.extend(digest);
        out
    }
}

fn digest(content: &[u8]) -> Vec<u8> {
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    Sha1::new().chain_update(password).chain_update(WHITENER).chain_update(content).finalize().to_vec()
}

/// As `DataOutput.writeUTF` writes ASCII.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(text.as_bytes());
}

/// The unread rest of a file.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    fn text(&mut self) -> Option<&'b [u8]> {
        let length = self.take(2)?.try_into().ok()?;
        self.take(u16::from_be_bytes(length).into())
    }

    fn blob(&mut self) -> Option<&'b [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_store_equals_that_of_keytool() {
        // The digest is the one that `keytool` writes at the end of an empty JKS file with this password.
        let hex: String = Store::default().write().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "feedfeed0000000200000000e2686e45fb43dfa4d992dd41ceb6b21c6330d792");
    }

    #[test]
    fn entries_follow_one_another_and_are_found_again() {
        let mut store = Store::default();
        store.add("host-0", b"DER");
        store.add("host-1", b"DER");
        let bytes = store.write();
        let entry = b"\0\0\0\x02\0\x06host-0\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x03DER";
        assert_eq!(&bytes[8..bytes.len() - 20], [b"\0\0\0\x01".as_slice(), entry].concat());
        assert_eq!(Store::read(&bytes), Some(store));
    }

    #[test]
    fn existing_entries_stay_with_keys() {
        let key = b"\0\0\0\x01\0\x01k\0\0\0\0\0\0\0\0\0\0\0\x02KK\0\0\0\x01\0\x05X.509\0\0\0\x01C";
        let held = [b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x01".as_slice(), key, &[0; 20]].concat();
        let mut store = Store::read(&held).expect("well-formed");
        store.add("host-0", b"DER");
        let written = store.write();
        assert_eq!(written[8..12], [0, 0, 0, 2]);
        assert_eq!(&written[12..12 + key.len()], key);
    }

    #[test]
    fn damaged_stores_are_refused() {
        let mut store = Store::default();
        store.add("a", b"DER");
        let bytes = store.write();
        for cut in 0..bytes.len() - 20 {
            assert_eq!(Store::read(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Store::read(b"\x30\x82 PKCS #12"), None);
        assert_eq!(Store::read(b"\xfe\xed\xfe\xed\0\0\0\x02\xff\xff\xff\xff"), None);
    }
}
